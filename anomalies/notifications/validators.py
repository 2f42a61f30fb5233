"""What an answer must say beside its status for a message to count as delivered."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_VALIDATORS = 20
_STEP = re.compile(r"""\.([A-Za-z_][\w-]*)|\[(\d{1,6})\]|\['([^']+)'\]|\["([^"]+)"\]""", re.ASCII)
_MISSING = object()


class ValidatorError(ValueError):
    """A validator that makes no sense; its text says which, and why."""


@dataclass(frozen=True, slots=True)
class Validator:
    """Where in the answer, as a JSON path such as `$.result[0].status`, and what may stand there."""

    path: str
    expected: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path} = {', '.join(self.expected)}"


@dataclass(frozen=True, slots=True)
class Check:
    """What became of a validator."""

    path: str
    expected: tuple[str, ...]
    found: str
    ok: bool

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "expected": list(self.expected)}


def parsed(text: str) -> list[Validator]:
    """Return the validators of a text with one a line: `$.status = ok, accepted`. Raises ValidatorError."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > MOST_VALIDATORS:
        raise ValidatorError(f"{len(lines)} of them; at most {MOST_VALIDATORS} are checked.")
    found = []
    for line in lines:
        path, equals, values = line.partition("=")
        expected = tuple(value.strip() for value in values.split(",") if value.strip())
        if not equals or not expected:
            raise ValidatorError(f"“{line[:80]}” names no expected value; write $.status = ok.")
        steps_of(path.strip())
        found.append(Validator(path.strip(), expected))
    return found


def steps_of(path: str) -> list[str | int]:
    """Return the keys and places of a JSON path. Raises ValidatorError."""
    if not path.startswith("$"):
        raise ValidatorError(f"“{path[:80]}” is no JSON path: it begins with $, such as $.status.")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise ValidatorError(
                f"“{path[:80]}” is no JSON path from its letter {at + 1} on; write $.results[0].status."
            )
        name, place, single, double = step.groups()
        steps.append(int(place) if place else name or single or double)
        at = step.end()
    return steps


def checked(validators: Iterable[Validator], body: str) -> list[Check]:
    """Return what becomes of each with this answer."""
    validators = list(validators)
    if not validators:
        return []
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return [Check(one.path, one.expected, "the answer is no JSON", ok=False) for one in validators]
    return [_checked(one, content) for one in validators]


def _checked(validator: Validator, content: Any) -> Check:
    value = _at(content, steps_of(validator.path))
    if value is _MISSING:
        return Check(validator.path, validator.expected, "nothing", ok=False)
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Check(validator.path, validator.expected, said[:200], ok=said in validator.expected)


def _at(content: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(content, list) or step >= len(content):
                return _MISSING
            content = content[step]
        elif not isinstance(content, dict) or step not in content:
            return _MISSING
        else:
            content = content[step]
    return content

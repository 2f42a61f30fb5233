"""Settings of a kind of channel: each with label, meaning and bounds, so that forms and checks need no other list."""

import dataclasses
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

# Under which headings a form asks for them.
TARGET, ACCESS, BODY, ANSWER = "Where it goes", "How it is let in", "What is sent", "What must come back"
LONGEST_TIMEOUT_SECONDS = 60
NEEDED = "Needed."


class Shape(StrEnum):
    LINE = "line"
    TEXT = "text"  # of several lines
    NUMBER = "number"
    CHOICE = "choice"
    HEADERS = "headers"  # names with values, of which only the names are ever shown


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    name: str
    default: Any
    label: str
    help: str
    part: str
    shape: Shape
    secret: bool
    required: bool
    choices: Mapping[str, str]
    low: int  # of a number
    high: int  # of a number; else of how many characters
    rows: int
    fresh: Callable[[], str] | None  # what the form of a new channel proposes


def setting(
    label: str,
    *,
    default: Any = "",
    help: str = "",  # noqa: A002  as in argparse
    part: str = TARGET,
    shape: Shape = Shape.LINE,
    secret: bool = False,
    required: bool = False,
    choices: Mapping[str, str] | None = None,
    low: int = 0,
    high: int = 2000,
    rows: int = 2,
    fresh: Callable[[], str] | None = None,
) -> Any:
    """Declare a field of the frozen `Setup` of a kind."""
    told = {
        "label": label,
        "help": help,
        "part": part,
        "shape": Shape.CHOICE if choices else shape,
        "secret": secret or shape is Shape.HEADERS,
        "required": required,
        "choices": choices or {},
        "low": low,
        "high": high,
        "rows": rows,
        "fresh": fresh,
    }
    if shape is Shape.HEADERS:
        return dataclasses.field(default_factory=dict, metadata=told)
    return dataclasses.field(default=default, metadata=told)


def timeout() -> Any:
    """Declare for how long an answer is waited for."""
    return setting("Timeout, seconds", default=10, shape=Shape.NUMBER, low=1, high=LONGEST_TIMEOUT_SECONDS)


def settings_of(setup: Any) -> tuple[Setting, ...]:
    """Return the settings that a kind's `Setup` declares."""
    return tuple(
        Setting(
            name=field.name,
            default={} if field.metadata["shape"] is Shape.HEADERS else field.default,
            **field.metadata,
        )
        for field in dataclasses.fields(setup)
    )


def errors_in(setup: Any) -> dict[str, str]:
    """Return by name why a setting makes no sense in itself; nothing where it does."""
    found = {one.name: _error_of(one, getattr(setup, one.name)) for one in settings_of(setup)}
    return {name: text for name, text in found.items() if text}


def _error_of(wanted: Setting, value: Any) -> str:
    match wanted.shape:
        case Shape.NUMBER:
            whole = isinstance(value, int) and not isinstance(value, bool)
            return "" if whole and wanted.low <= value <= wanted.high else f"From {wanted.low} to {wanted.high}."
        case Shape.CHOICE:
            return "" if value in list(wanted.choices) else f"One of {', '.join(wanted.choices)}."
        case Shape.HEADERS:
            named = isinstance(value, Mapping) and all(isinstance(one, str) for pair in value.items() for one in pair)
            return "" if named else "Names with values, all of them text."
    if not isinstance(value, str) or "\x00" in value:
        return "It is no text."
    if len(value) > wanted.high:
        return f"{len(value):,} characters, at most {wanted.high:,} are kept."
    return NEEDED if wanted.required and not value.strip() else ""


def headers_in(text: str) -> dict[str, str]:
    """Return the headers of a text with one a line: `X-Team: security`. Raises ValueError."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not value:
            raise ValueError(f"“{line[:80]}” is no header; write X-Team: security.")
        if name in found:
            raise ValueError(f"{name} is there twice.")
        found[name] = value
    return found

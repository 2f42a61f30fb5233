"""A body in JSON with placeholders, rendered so that no value can break it."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

MOST_LETTERS = 20_000
MOST_DEPTH = 20
_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)


class TemplateError(ValueError):
    """A template that cannot be rendered; its text says what is wrong, and where."""


def check(text: str, *, known: Collection[str]) -> None:
    """Raise TemplateError unless the text is JSON in whose strings nothing but these placeholders stands."""
    for name in _used(_parsed(text)):
        if name not in known:
            raise TemplateError(f"there is no placeholder “{name[:60]}”, only {', '.join(known)}.")


def render(text: str, values: Mapping[str, Any]) -> bytes:
    """Return the JSON with each placeholder's value in its place. Raises TemplateError.

    A string that is one placeholder and nothing else becomes the value, of whatever kind that is: a number, a list,
    null. Within a longer string the value is written out.
    """
    check(text, known=values)
    return json.dumps(_filled(_parsed(text), values), ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )


def _parsed(text: str) -> Any:
    if len(text) > MOST_LETTERS:
        raise TemplateError(f"{len(text):,} characters, at most {MOST_LETTERS:,} are kept.")
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise TemplateError(
            f"it is no JSON at line {error.lineno}, column {error.colno}: {error.msg}. Placeholders stand in quotes."
        ) from error
    except (RecursionError, ValueError) as error:
        raise TemplateError(f"it is no JSON that can be sent: {error}.") from error


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no value of JSON")


def _used(content: Any, depth: int = 0) -> list[str]:
    if depth > MOST_DEPTH:
        raise TemplateError(f"it is nested more than {MOST_DEPTH} deep.")
    if isinstance(content, dict):
        for key in content:
            if _PLACEHOLDER.search(key):
                raise TemplateError(f"“{key[:60]}” is a key; placeholders stand in values only.")
        return [name for value in content.values() for name in _used(value, depth + 1)]
    if isinstance(content, list):
        return [name for value in content for name in _used(value, depth + 1)]
    return _PLACEHOLDER.findall(content) if isinstance(content, str) else []


def _filled(content: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(content, dict):
        return {key: _filled(value, values) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, values) for value in content]
    if not isinstance(content, str):
        return content
    whole = _PLACEHOLDER.fullmatch(content)
    if whole and whole[1] in values:  # else it is several: `{{ a }} and {{ b }}`
        return values[whole[1]]
    return _PLACEHOLDER.sub(lambda found: _written(values[found[1]]), content)


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""What `q` asks for, as conditions in SQL: of what is counted, of whom, and words."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec
from django.db.models import Q

from anomalies.api.anodot_v2.answers import FieldError
from anomalies.models import Series
from anomalies.services.search import found_by

MOST_CHARACTERS = 10_000
MOST_ALTERNATIVES = 50  # of one condition, each of which is looked for
SHOWN = 60  # characters of what was sent that an error repeats
KINDS: tuple[str, ...] = tuple(Series.Kind.values)
OR = " OR "

# `what=requests.agent=ag_1.action=token.issue`: a value goes on until the next key.
_PAIR = re.compile(r"(?:^|[.,&\s])([A-Za-z_][A-Za-z0-9_]*)=")
_NOTHING = Q(pk__in=[])


@dataclass(frozen=True, slots=True)
class Expression:
    """`of_metrics` has to hold for one and the same metric of an anomaly, `of_anomalies` for the anomaly."""

    of_metrics: list[Q] = field(default_factory=list)
    of_anomalies: list[Q] = field(default_factory=list)


def parsed(text: str) -> Expression:
    """Return what a `q` asks for: an object with an `expression` in JSON, `key=value` pairs, or words to search for.

    Raises FieldError that says where it is wrong.
    """
    if len(text) > MOST_CHARACTERS:
        raise FieldError("q", f"it has more than {MOST_CHARACTERS:,} characters")
    if text.startswith(("%7B", "%7b")):  # encoded twice
        text = unquote(text)
    if "\x00" in text:
        raise FieldError("q", "it contains a NUL character")
    text = text.strip()
    return _of_json(text) if text.startswith("{") else _of_text(text)


def _of_json(text: str) -> Expression:
    try:
        sent = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        raise FieldError("q", f"{text[:SHOWN]!r} is no JSON") from None
    items = sent.get("expression", [])
    if not isinstance(items, list):
        raise FieldError("q", "its `expression` is no list")
    found = Expression()
    for index, item in enumerate(items):
        _add(found, item, index)
    return found


def _add(found: Expression, item: Any, index: int) -> None:
    if not isinstance(item, dict):
        raise FieldError("q", "it is no object", index=index)
    type_, key, value = item.get("type", "property"), item.get("key"), item.get("value")
    if not isinstance(value, str) or not _says_anything(value):
        raise FieldError("q", "its `value` is no text", index=index)
    if "\x00" in value:
        raise FieldError("q", "its `value` contains a NUL character", index=index)
    if type_ == "search":
        found.of_anomalies.append(_any_of(value, found_by, index))
    elif type_ != "property":
        raise FieldError("q", f"its `type` {str(type_)[:SHOWN]!r} is neither property nor search", index=index)
    elif not isinstance(key, str) or not key:
        raise FieldError("q", "its `key` is no text", index=index)
    else:
        is_exact = item.get("isExact", True) not in (False, "false")
        found.of_metrics.append(_any_of(value, partial(_property, key, is_exact=is_exact), index))


def _of_text(text: str) -> Expression:
    pairs = list(_PAIR.finditer(text))
    if not pairs or pairs[0].start():
        return Expression(of_anomalies=[_any_of(text, found_by, 0)] if _says_anything(text) else [])
    ends = [pair.start() for pair in pairs[1:]] + [len(text)]
    found = Expression()
    for pair, end in zip(pairs, ends, strict=True):
        value = text[pair.end() : end]
        if not _says_anything(value):
            raise FieldError("q", f"nothing follows {pair[1]}=", index=len(found.of_metrics))
        of_pair = partial(_property, pair[1], is_exact=True)
        found.of_metrics.append(_any_of(value, of_pair, len(found.of_metrics)))
    return found


def _says_anything(value: str) -> bool:
    return any(one.strip(" !\t\r\n") for one in value.split(OR))


def _any_of(value: str, condition: Callable[[str], Q], index: int) -> Q:
    """`A OR B` is either; `!` before the value negates all of it, before a later alternative that one."""
    if value.count(OR) >= MOST_ALTERNATIVES:
        raise FieldError("q", f"it has more than {MOST_ALTERNATIVES} alternatives", index=index)
    negated = value.lstrip().startswith("!")
    found = Q()
    for alternative in (one.strip() for one in value.split(OR)):
        if bare := alternative.removeprefix("!").strip():
            one = condition(bare)
            found |= ~one if alternative.startswith("!") and not negated else one
    return ~found if negated else found


def _property(key: str, value: str, *, is_exact: bool) -> Q:
    """The condition on metrics that have that property; no metric has one that there is not."""
    held = "exact" if is_exact else "icontains"
    if key == "what":
        return Q(**{f"what__{held}": value})
    if key in KINDS:
        return Q(kind=key, **{f"entity__{held}": value})
    if key == "action":
        return Q(**{f"action__{held}": value}) & ~Q(action="")
    return _NOTHING

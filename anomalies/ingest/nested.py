"""What lies inside a foreign record, where anything may stand: what is not as expected counts as not there."""

from collections.abc import Iterator, Mapping
from typing import Any


def mapping(outer: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the object at the end of that path, or an empty one."""
    for name in path:
        value = outer.get(name)
        if not isinstance(value, dict):
            return {}
        outer = value
    return outer


def mappings(outer: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of that list."""
    listed = outer.get(name)
    for value in listed if isinstance(listed, list) else ():
        if isinstance(value, dict):
            yield value


def named(outer: Mapping[str, Any], *names: str) -> str:
    """Return the first of these texts that is there, or ""."""
    for name in names:
        value = outer.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return ""

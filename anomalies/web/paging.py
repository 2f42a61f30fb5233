"""Pages by key: exact with ties, as fast on the last page as on the first."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Rows in order; `next_from` and `previous_from` are the rows beyond which the neighbouring pages begin."""

    rows: list[M]
    next_from: M | None
    previous_from: M | None


def page_of(
    rows: QuerySet[M, M], order: tuple[str, ...], *, size: int, after: M | None = None, before: M | None = None
) -> Page[M]:
    """Return the page after one row, or before one, or the first.

    `order` names fields as order_by() does and ends with a unique one; none of them is ever NULL.
    """
    backwards = before is not None
    boundary = before if backwards else after
    directed = tuple(_turned(field) for field in order) if backwards else order
    if boundary is not None:
        rows = rows.filter(_beyond(boundary, directed))
    found = list(rows.order_by(*directed)[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    has_next = bool(found) if backwards else more
    has_previous = more if backwards else boundary is not None and bool(found)
    return Page(found, found[-1] if has_next else None, found[0] if has_previous else None)


def _turned(field: str) -> str:
    return field[1:] if field.startswith("-") else f"-{field}"


def _beyond(row: Model, order: tuple[str, ...]) -> Q:
    """Rows that come after this one: further in one field, the same in all fields before it."""
    beyond, same = Q(pk__in=[]), Q()
    for field in order:
        name, past = (field[1:], "lt") if field.startswith("-") else (field, "gt")
        value: Any = getattr(row, name)
        beyond |= same & Q(**{f"{name}__{past}": value})
        same &= Q(**{name: value})
    first = order[0].lstrip("-")
    # Implied by the above, but a plain range of the index.
    reach = "lte" if order[0].startswith("-") else "gte"
    return Q(**{f"{first}__{reach}": getattr(row, first)}) & beyond

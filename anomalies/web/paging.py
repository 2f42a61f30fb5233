"""Pages by key: exact with ties, as fast on the last page as on the first."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, Func, Model, QuerySet, Value
from django.db.models.sql.compiler import SQLCompiler

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

    `order` names fields as order_by() does, all in one direction, and ends with a unique one; none of them is ever
    NULL.
    """
    backwards = before is not None
    boundary = before if backwards else after
    directed = tuple(_turned(field) for field in order) if backwards else order
    if boundary is not None:
        rows = rows.filter(beyond(boundary, directed))
    found = list(rows.order_by(*directed)[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    has_next = bool(found) if backwards else more
    has_previous = more if backwards else boundary is not None and bool(found)
    return Page(found, found[-1] if has_next else None, found[0] if has_previous else None)


def _turned(field: str) -> str:
    return field[1:] if field.startswith("-") else f"-{field}"


class _Further(Func):
    """Whether one row of values comes after another: a range of the index that both are in the order of."""

    output_field = BooleanField()

    def __init__(self, names: tuple[str, ...], values: list[Any], *, falling: bool) -> None:
        super().__init__(*names, *(value if hasattr(value, "resolve_expression") else Value(value) for value in values))
        self.falling = falling

    def as_sql(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,  # noqa: ARG002
        *_: Any,
        **__: Any,
    ) -> tuple[str, tuple[str | int, ...]]:
        compiled = [compiler.compile(source) for source in self.get_source_expressions()]
        sides, half = [sql for sql, _ in compiled], len(compiled) // 2
        sql = f"({', '.join(sides[:half])}) {'<' if self.falling else '>'} ({', '.join(sides[half:])})"
        return sql, tuple(param for _, own in compiled for param in own)


def beyond(row: Model, order: tuple[str, ...]) -> Func:
    """Rows that come after this one: further in one field, the same in all fields before it."""
    falling = order[0].startswith("-")
    if any(field.startswith("-") != falling for field in order):
        raise ValueError(f"Rising and falling fields in one order: {', '.join(order)}")  # no index serves that
    names = tuple(field.lstrip("-") for field in order)
    return _Further(names, [getattr(row, name) for name in names], falling=falling)

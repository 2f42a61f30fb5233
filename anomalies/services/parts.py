"""What is made part by part, while somebody takes it."""

from array import array
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, transaction
from django.db.models import Model, QuerySet

T = TypeVar("T")
M = TypeVar("M", bound=Model)

ROWS_AT_ONCE = 2000


def each_once(rows: QuerySet[M, M]) -> Iterator[M]:
    """Yield, in their order, the rows that match when the first one is asked for, and still when they are read.

    Only their numbers are kept, 8 bytes each: no statement is open for as long as somebody takes to read them.
    """
    numbers = array("q", rows.values_list("pk", flat=True).iterator(ROWS_AT_ONCE))
    for start in range(0, len(numbers), ROWS_AT_ONCE):
        some = numbers[start : start + ROWS_AT_ONCE].tolist()
        known = rows.in_bulk(some)
        yield from (known[number] for number in some if number in known)


async def one_by_one(parts: Generator[T, None, None]) -> AsyncIterator[T]:
    """Yield each part when it is asked for, made in the thread that has the connection to the database.

    That is given back after each one, unless all are of one transaction, and once whoever asks is gone: many who take
    their time leave connections to the others.
    """
    try:
        while (part := await sync_to_async(_next)(parts)) is not None:
            yield part
    finally:
        await sync_to_async(_close)(parts)


def _next(parts: Generator[T, None, None]) -> T | None:
    try:
        return next(parts, None)
    finally:
        if not transaction.get_connection().in_atomic_block:
            close_old_connections()


def _close(parts: Generator[T, None, None]) -> None:
    try:
        parts.close()
    finally:
        close_old_connections()

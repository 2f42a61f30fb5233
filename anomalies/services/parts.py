"""What is made part by part, while somebody takes it."""

from collections.abc import AsyncIterator, Generator
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, transaction

T = TypeVar("T")


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

"""COPY, into a table or out of one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection
from psycopg import Copy


@contextmanager
def copying(statement: str, parameters: Sequence[Any] | None = None) -> Iterator[Copy]:
    """Copy in the caller's transaction. What the database says against it is one of Django's errors.

    Django's cursors hand `copy` on as psycopg's own, with psycopg's errors, which nobody who waits for a lost
    connection would catch; and their form for debugging, which keeps what was asked, knows no parameters.
    """
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(statement) if parameters is None else cursor.cursor.copy(statement, parameters) as copy,
    ):
        yield copy

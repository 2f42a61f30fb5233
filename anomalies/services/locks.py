"""The advisory locks, each a number of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, unique

from django.db import connection


@unique
class Lock(IntEnum):
    SCAN = 7_236_301  # whole scans, one at a time; shared by the workers of one that is parted
    AUDIT_CHAIN = 7_236_302  # entries are chained one at a time
    SHARE = 7_236_303  # first key of the lock of a share; the other is its id
    ACCESS_REQUESTS = 7_236_304  # gathered by one transaction at a time, which sees what the others stored
    BACKTEST = 7_236_305  # one at a time: a worker has room for scans
    DECISIONS = 7_236_307  # about many anomalies, alone; shared by detection, which comes to their rows by and by
    OLD_DAYS = 7_236_306  # of events that have had their time: shared by who writes some, alone for who drops them


def call(function: str, *keys: int) -> bool:
    """Call one of PostgreSQL's functions for advisory locks, and return whether it gave, or ended, the lock."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}({', '.join(['%s'] * len(keys))})", keys)
        return bool(cursor.fetchone()[0])


@contextmanager
def tried(lock: Lock) -> Iterator[bool]:
    """Hold the lock for as long as the block runs if nobody else does, and say whether that is so."""
    mine = call("pg_try_advisory_lock", lock)
    try:
        yield mine
    finally:
        if mine:
            call("pg_advisory_unlock", lock)

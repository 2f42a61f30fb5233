"""The partitions of the event table: one a UTC day, made when its first event comes, dropped when its time is up.

Events of days that are far away lie in a default partition together, so that a wild clock makes no thousand tables.
Partitions are made apart and attached: readers and writers of other days go on meanwhile.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import LockNotAvailable

from anomalies.services.locks import Lock

PAST_DAYS = 400  # before today, and
FUTURE_DAYS = 2  # after it, within which a day has a partition of its own
DEFAULT = "anomalies_event_default"
LOCK_TIMEOUT = "2s"  # dropping waits for all readers, and all who come later wait for it

_MISSING = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL"

# Who makes partitions is alone with that, and with the default partition, until the transaction ends.
_LOCK_TO_MAKE = f"""
LOCK TABLE ONLY anomalies_event IN SHARE UPDATE EXCLUSIVE MODE;
LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE
"""
_LOCK_DEFAULT = f"LOCK TABLE {DEFAULT} IN ROW EXCLUSIVE MODE"

_MAKE = f"""
CREATE TABLE {{name}} (LIKE anomalies_event INCLUDING CONSTRAINTS);
WITH moved AS (
    DELETE FROM {DEFAULT} WHERE time >= %(start)s AND time < %(end)s RETURNING *
) INSERT INTO {{name}} SELECT * FROM moved;
ALTER TABLE anomalies_event ATTACH PARTITION {{name}} FOR VALUES FROM (%(start)s) TO (%(end)s)
"""  # noqa: S608  names of our own

_DAYS = r"""
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'anomalies_event'::regclass AND c.relname ~ '^anomalies_event_\d{8}$' ORDER BY c.relname
"""


def prepare(cursor: CursorWrapper, days: Iterable[date], *, today: date) -> None:
    """Make the partitions that events of these UTC days lack.

    To be called in the transaction that stores the events, once, and before its first event: whoever waits here has
    written none that another waits for, and whoever has passed needs no lock that another holds who waits. So none
    deadlocks; two that need the same new day wait for each other once. Who writes what is old enough to be dropped
    waits, before all that, while that is done.
    """
    days = set(days)
    kept = settings.ANOMALIES_EVENT_RETENTION_DAYS
    if kept and min(days, default=today) < today - timedelta(days=kept - 2):  # two days for clocks that differ
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [Lock.OLD_DAYS])
    near = {day for day in days if today - timedelta(days=PAST_DAYS) <= day <= today + timedelta(days=FUTURE_DAYS)}
    missing = _missing(cursor, near)
    if missing:
        cursor.execute(_LOCK_TO_MAKE)
        for day in _missing(cursor, near):  # fewer, if another made some of them while we waited
            start = _midnight(day)
            cursor.execute(_MAKE.format(name=_name(day)), {"start": start, "end": start + timedelta(days=1)})
    elif len(near) < len(days):
        cursor.execute(_LOCK_DEFAULT)


def days() -> list[date]:
    """Return the days that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_DAYS)
        return [_day(name) for (name,) in cursor.fetchall()]


def drop(day: date, *, unless: Callable[[], bool] = lambda: False) -> int | None:
    """Drop a day's events and return how many they were, or None if somebody was using the table for too long.

    None, too, if `unless` says so. Nobody writes old events from when it is asked until they are gone; only the moment
    in which they go is one that readers and writers of other days wait for.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [Lock.OLD_DAYS])
            if unless():
                return None
            cursor.execute(f"SELECT count(*) FROM {_name(day)}")  # noqa: S608  a name of our own
            events: int = cursor.fetchone()[0]
            cursor.execute("LOCK TABLE ONLY anomalies_event IN ACCESS EXCLUSIVE MODE")
            cursor.execute(f"DROP TABLE {_name(day)}")
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        return None
    return events


def _missing(cursor: CursorWrapper, days: Iterable[date]) -> list[date]:
    cursor.execute(_MISSING, [[_name(day) for day in sorted(days)]])
    return [_day(name) for (name,) in cursor.fetchall()]


def _name(day: date) -> str:
    return f"anomalies_event_{day:%Y%m%d}"


def _day(name: str) -> date:
    return datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date()


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

"""Whether this process can serve calls, and whether the others do their part."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from anomalies.models import RevocationCall
from anomalies.services import deliveries
from anomalies.services.figures import last_finished_scan

SCAN_LATE = timedelta(minutes=15)
CALLS_LATE = timedelta(minutes=5)
SOON_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """`reasons` say why no call can be served, `warnings` what is late while they are. Neither tells a secret."""

    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        return not self.reasons


def readiness(*, at: datetime) -> Readiness:
    try:
        _find_connection()
        if missing := len(_migrations() - set(MigrationRecorder(connection).applied_migrations())):
            return Readiness([f"Migrations are missing: {missing}. Run manage.py migrate."])
        return Readiness(warnings=[*_about_scans(at), *_about_calls(at)])
    except (DatabaseError, InterfaceError):
        logger.exception("not ready: the database does not answer")
        return Readiness(["The database does not answer."])


def _find_connection() -> None:
    """Fail soon where none is to be had: who asks does not wait for as long as a call would."""
    pool = getattr(connection, "pool", None)
    if pool is not None and connection.connection is None:
        with connection.wrap_database_errors:
            pool.open()
            pool.putconn(pool.getconn(SOON_SECONDS))


@cache
def _migrations() -> frozenset[tuple[str, str]]:
    """Return those that this process's code needs, which stay the same for as long as it runs."""
    return frozenset(MigrationLoader(None).graph.nodes)


def _about_scans(at: datetime) -> list[str]:
    scan = last_finished_scan()
    if scan is None:
        return ["No scan was finished yet: is there a worker, and the clock?"]
    if scan.finished_at and at - scan.finished_at > SCAN_LATE:
        minutes = SCAN_LATE // timedelta(minutes=1)
        return [f"No scan was finished in the last {minutes} minutes: are a worker and the clock at work?"]
    return []


def _about_calls(at: datetime) -> list[str]:
    """Look at the worker of its own that calls others' servers."""
    late = at - CALLS_LATE
    asked = RevocationCall.objects.filter(state=RevocationCall.State.PENDING, due_at__lte=late)
    if deliveries.are_overdue(since=late) or asked.exists():
        minutes = CALLS_LATE // timedelta(minutes=1)
        return [f"Calls to others have been due for {minutes} minutes: is a worker of their queue at work?"]
    return []

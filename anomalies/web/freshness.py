"""How far what the pages show is complete, from real watermarks."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection

from anomalies.detection.wording import span

LATE = timedelta(minutes=15)
SLOW_SECONDS = 120.0  # a source that brings its events sooner holds nothing back that anybody would notice
LIVE = timedelta(days=7)  # a source silent for longer, or fed with older events, is an import and never late
# Each with the last scan that ended: every page asks for both.
_SOURCES = """
SELECT name, watermark, received_at, lag_seconds, scan.now, scan.started_at
FROM anomalies_source LEFT JOIN (
    SELECT now, started_at FROM anomalies_scan WHERE finished_at IS NOT NULL ORDER BY started_at DESC LIMIT 1
) AS scan ON true
ORDER BY watermark
"""


class _Source(NamedTuple):
    name: str
    watermark: datetime | None
    received_at: datetime | None
    lag_seconds: float
    scanned_at: datetime | None
    scan_started_at: datetime | None


@dataclass(frozen=True, slots=True)
class LateSource:
    name: str
    watermark: datetime


@dataclass(frozen=True, slots=True)
class SlowSource:
    """A live source for whose events everybody waits."""

    name: str
    lag_seconds: float

    @property
    def lag(self) -> str:
        return span(self.lag_seconds)


@dataclass(frozen=True, slots=True)
class Freshness:
    """`complete_to` is None before the first scan or without any source; `slowest` is what holds it back, if any."""

    any_source: bool
    complete_to: datetime | None
    scan_is_late: bool
    late: list[LateSource]
    slowest: SlowSource | None = None

    @property
    def first_late(self) -> LateSource | None:
        return self.late[0] if self.late else None

    @property
    def more_late(self) -> int:
        return max(0, len(self.late) - 1)


def freshness(*, now: datetime) -> Freshness:
    """Return up to when all events were judged, and the live sources whose newest event is older than 15 minutes.

    What was judged is complete but for the delay of the slowest live source that is not itself named as late.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SOURCES)
        sources = [_Source(*row) for row in cursor.fetchall()]
    *_, scanned_at, started_at = sources[0] if sources else (None, None)
    live = [source for source in sources if source.received_at and source.received_at >= now - LIVE]
    late = [
        LateSource(source.name, source.watermark)
        for source in live
        if source.watermark and source.received_at
        if source.watermark < now - LATE and source.received_at - source.watermark < LIVE
    ]
    named = {source.name for source in late}
    waited_for = [SlowSource(source.name, source.lag_seconds) for source in live if source.name not in named]
    slowest = max(waited_for, key=lambda source: source.lag_seconds, default=None)
    lag = slowest.lag_seconds if slowest else 0
    return Freshness(
        any_source=bool(sources),
        complete_to=min(scanned_at, now) - timedelta(seconds=lag) if scanned_at else None,
        scan_is_late=bool(started_at and now - started_at > LATE),
        late=late,
        slowest=slowest if lag >= SLOW_SECONDS else None,
    )

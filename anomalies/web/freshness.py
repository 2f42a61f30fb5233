"""How far what the pages show is complete, from real watermarks."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from anomalies.detection.wording import span
from anomalies.models import Scan, Source

LATE = timedelta(minutes=15)
SLOW_SECONDS = 120.0  # a source that brings its events sooner holds nothing back that anybody would notice
LIVE = timedelta(days=7)  # a source silent for longer, or fed with older events, is an import and never late


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
    finished = Scan.objects.filter(finished_at__isnull=False).order_by("-started_at")
    scan = finished.only("now", "started_at").first()
    sources = list(Source.objects.order_by("watermark"))
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
        complete_to=min(scan.now, now) - timedelta(seconds=lag) if scan and sources else None,
        scan_is_late=bool(scan and now - scan.started_at > LATE),
        late=late,
        slowest=slowest if lag >= SLOW_SECONDS else None,
    )

"""What an installation has to do and what became of it, as PostgreSQL knows it: the same from each of its processes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Min

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Batch, Channel, Delivery, Revocation, Scan, Severity, Source, StreamLease
from anomalies.services import stream

WAITING = (*Delivery.UNFINISHED, Delivery.Status.DEAD)  # of deliveries, those that somebody may have to look at


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """Since the source was first heard of; `behind` is the age of its newest event, None where it never sent one."""

    name: str
    accepted: int
    duplicate: int
    rejected: int
    late: int
    behind: timedelta | None


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """`deliveries` tells of each status in WAITING how many there are."""

    name: str
    kind: str
    enabled: bool
    held: bool
    deliveries: dict[str, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """`scan` is the last that was finished; `to_review` counts by type and severity what waits for people."""

    at: datetime
    sources: list[SourceFigures]
    batches_uncounted: int
    oldest_uncounted_at: datetime | None
    scan: Scan | None
    to_review: dict[tuple[str, Severity], int]
    channels: list[ChannelFigures]
    revocations_pending: int
    streams_open: int

    @property
    def scan_age(self) -> timedelta | None:
        return self.at - self.scan.finished_at if self.scan and self.scan.finished_at else None

    @property
    def scan_duration(self) -> timedelta | None:
        return self.scan.finished_at - self.scan.started_at if self.scan and self.scan.finished_at else None


def figures(*, at: datetime) -> Figures:
    """Count all of it: eight queries, none of which reads what is settled."""
    uncounted = Batch.objects.filter(counted_at__isnull=True).aggregate(count=Count("pk"), oldest=Min("received_at"))
    return Figures(
        at=at,
        sources=_sources(at),
        batches_uncounted=uncounted["count"],
        oldest_uncounted_at=uncounted["oldest"],
        scan=last_finished_scan(),
        to_review=_to_review(),
        channels=_channels(at),
        revocations_pending=Revocation.objects.pending().count(),
        streams_open=StreamLease.objects.filter(renewed_at__gt=at - stream.LEASE).count(),
    )


def last_finished_scan() -> Scan | None:
    return Scan.objects.filter(finished_at__isnull=False).order_by("-started_at").first()


def _sources(at: datetime) -> list[SourceFigures]:
    return [
        SourceFigures(
            name=one.name,
            accepted=one.accepted_events,
            duplicate=one.duplicate_events,
            rejected=one.rejected_records,
            late=one.late_events,
            behind=at - one.watermark if one.watermark else None,
        )
        for one in Source.objects.order_by("name")
    ]


def _to_review() -> dict[tuple[str, Severity], int]:
    """Return 0, too: of a type of which nothing waits, others see that it is so, not that it is unknown."""
    counted = dict.fromkeys(((type_, severity) for type_ in DETECTORS for severity in Severity), 0)
    found = Anomaly.objects.needs_review().order_by().values_list("type", "severity").annotate(count=Count("*"))
    return counted | {(type_, Severity(severity)): count for type_, severity, count in found}


def _channels(at: datetime) -> list[ChannelFigures]:
    waiting = Delivery.objects.filter(status__in=WAITING, channel__deleted_at__isnull=True).order_by()
    counted = {
        (channel, status): count
        for channel, status, count in waiting.values_list(F("channel"), "status").annotate(count=Count("pk"))
    }
    return [
        ChannelFigures(
            name=one.name,
            kind=one.kind,
            enabled=one.enabled,
            held=one.held_until is not None and one.held_until > at,
            deliveries={status.value: counted.get((one.pk, status), 0) for status in WAITING},
        )
        for one in Channel.objects.kept().order_by("name")
    ]

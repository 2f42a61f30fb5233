"""What lies behind an anomaly: its events, and its series with the band in which it was expected."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from anomalies.models import Anomaly, Event

MAX_POINTS = 1000


@dataclass(frozen=True, slots=True)
class BandedSeries:
    """Observed counts with the expected band, oldest first; times are starts of buckets, in epoch seconds."""

    name: str
    unit: str
    resolution_seconds: int
    times: list[float]
    observed: list[int]
    expected: list[float]
    lower: list[float]
    upper: list[float]


def events_behind(anomaly: Anomaly) -> QuerySet[Event]:
    """The events of its entity during its interval, oldest first."""
    events = Event.objects.filter(time__gte=anomaly.started_at, time__lt=anomaly.active_until)
    if anomaly.kind == "address":
        events = events.filter(ip=anomaly.entity)
    elif anomaly.kind == "principal":
        events = events.filter(principal_id=anomaly.entity)
    else:
        events = events.filter(agent_id=anomaly.entity)
    return events.order_by("time", "id")


def banded_series(anomaly: Anomaly, *, span: timedelta, now: datetime) -> BandedSeries | None:
    """The anomaly's series over a span that ends shortly after its interval, or None if its type has no series."""
    return None

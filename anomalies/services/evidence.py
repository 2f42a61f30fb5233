"""What lies behind an anomaly: its events, and its series with the band in which it was expected."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db.models import Max, Min, QuerySet

from anomalies.detection.parameter import build_config
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Event, Series
from anomalies.services import histories

HOUR = 3600  # seconds
FINE_UP_TO = timedelta(hours=24)  # longer spans are shown by the hour


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
    if anomaly.kind == Series.Kind.ADDRESS:
        events = events.filter(ip=anomaly.entity)
    elif anomaly.kind == Series.Kind.PRINCIPAL:
        events = events.filter(principal_id=anomaly.entity)
    else:
        events = events.filter(agent_id=anomaly.entity)
    return events.order_by("time", "id")


def banded_series(anomaly: Anomaly, *, span: timedelta, now: datetime) -> BandedSeries | None:
    """The anomaly's series over a span that ends shortly after it, or None if nothing was counted of its entity.

    The band is what the detector expects with the parameters that the anomaly was judged by; a day is shown at the
    resolution at which it deviated most.
    """
    detector = DETECTORS[anomaly.type]
    known = Series.objects.filter(kind=anomaly.kind, entity=anomaly.entity, metric=Series.Metric.REQUESTS).aggregate(
        first=Min("first_time"), last=Max("last_time")
    )
    if known["first"] is None:
        return None
    until = min(now, anomaly.active_until + span / 8)
    window = histories.Window(
        anomaly.entity, max(until - span, known["first"]), known["first"], max(until, known["last"])
    )
    history = histories.load(anomaly.kind, [window], until=until)
    width = min(anomaly.evidence["resolution_seconds"], HOUR) if span <= FINE_UP_TO else HOUR
    config = build_config(detector.config, detector.known(anomaly.evidence["parameters"]))
    chart = detector.chart(history, config, width)
    shown = np.flatnonzero(
        (chart.starts + chart.width > window.judge_from.timestamp()) & (chart.starts < until.timestamp())
    )
    begins = chart.starts[shown[0]] if len(shown) else until.timestamp()
    before = np.arange(begins - chart.width, (until - span).timestamp() - chart.width, -chart.width)[::-1]
    unknown = [0] * len(before)  # nothing was known of it yet
    metric = Series.Metric.FAILURES if chart.unit == "failures" else Series.Metric.REQUESTS
    return BandedSeries(
        name=f"what={metric}.{anomaly.kind}={anomaly.entity}",
        unit=chart.unit,
        resolution_seconds=chart.width,
        times=[*before.tolist(), *chart.starts[shown].tolist()],
        observed=[*unknown, *chart.observed[shown].tolist()],
        expected=[*unknown, *chart.expected[shown].tolist()],
        lower=[*unknown, *chart.lower[shown].tolist()],
        upper=[*unknown, *chart.upper[shown].tolist()],
    )

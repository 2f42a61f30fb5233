"""The data points of metrics with their band: the same series as in the chart of the page."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from anomalies.detection.history import DAY
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Interval, Metric
from anomalies.services.counted import counted_series, told_over
from anomalies.services.evidence import Band, BandedSeries, banded_series

USUAL, OF_DAYS = timedelta(days=1), timedelta(days=30)
MOST = timedelta(days=400)  # for so long counts are kept
AROUND = 1.5  # times what a metric deviated, that is shown at least


@dataclass(frozen=True, slots=True)
class Window:
    since: datetime
    until: datetime

    def meets(self, interval: Interval) -> bool:
        return interval.ended_at > self.since and interval.started_at < self.until


def window_of(
    anomaly: Anomaly, metric: Metric, *, start: datetime | None, end: datetime | None, now: datetime
) -> Window:
    """Return the time that is asked for, or else enough to see the deviation; 400 days at most."""
    ends = max((one.ended_at for one in metric.intervals.all()), default=anomaly.active_until)
    begins = min((one.started_at for one in metric.intervals.all()), default=anomaly.started_at)
    usual = OF_DAYS if metric.evidence.get("resolution_seconds", 0) >= DAY else USUAL
    span = max(usual, told_over(anomaly) or usual, AROUND * (ends - begins))
    until = min(now, end + timedelta(seconds=1) if end else ends + ((ends - start if start else span) / 8))
    since = start or until - span
    return Window(max(since, until - MOST), until)


def points(anomaly: Anomaly, metric: Metric, window: Window, *, now: datetime) -> dict[str, list[list[float]]]:
    """Return `dataPoints`, what was observed, and `baseline`, between what it was expected, at which times.

    Both are empty where nobody counts the like by the time, such as first meetings; the latter where nothing is
    expected of it.
    """
    span = window.until - window.since
    series: BandedSeries | None = None
    if span > timedelta() and anomaly.type in DETECTORS:
        series = counted_series(anomaly, metric, span=span, now=now, until=window.until)
        series = series or banded_series(anomaly, metric, span=span, now=now, until=window.until)
    if series is None or series.name != metric.name:
        return {"dataPoints": [], "baseline": []}
    times = [int(time) for time in series.times]
    edges = zip(times, series.lower, series.upper, strict=True) if series.band != Band.NONE else ()
    return {
        "dataPoints": [[time, count] for time, count in zip(times, series.observed, strict=True)],
        "baseline": [[time, lower, upper] for time, lower, upper in edges],
    }

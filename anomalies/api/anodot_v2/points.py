"""The data points of metrics with their band: the same series as in the chart of the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, Min

from anomalies.detection.history import DAY
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Interval, Metric
from anomalies.services.counted import counted_series, told_over
from anomalies.services.evidence import Band, BandedSeries, banded_series_of

USUAL, OF_DAYS = timedelta(days=1), timedelta(days=30)
MOST = timedelta(days=400)  # for so long counts are kept
AROUND = 1.5  # times what a metric deviated, that is shown at least


@dataclass(frozen=True, slots=True)
class Window:
    since: datetime
    until: datetime


def window_of(
    anomaly: Anomaly, metrics: Sequence[Metric], *, start: datetime | None, end: datetime | None, now: datetime
) -> Window:
    """Return the time that is asked for, or else enough to see how these metrics deviated; 400 days at most."""
    deviated = Interval.objects.filter(metric__in=metrics).aggregate(began=Min("started_at"), ended=Max("ended_at"))
    begins, ends = deviated["began"] or anomaly.started_at, deviated["ended"] or anomaly.active_until
    coarsest = max((one.evidence.get("resolution_seconds", 0) for one in metrics), default=0)
    usual = OF_DAYS if coarsest >= DAY else USUAL
    span = max(usual, told_over(anomaly) or usual, AROUND * (ends - begins))
    until = min(now, end + timedelta(seconds=1) if end else ends + ((ends - start if start else span) / 8))
    since = start or until - span
    return Window(max(since, until - MOST), until)


def points(
    anomaly: Anomaly, metrics: Sequence[Metric], window: Window, *, now: datetime
) -> Iterator[dict[str, list[list[float]]]]:
    """Yield for each metric `dataPoints`, what was observed, and `baseline`, between what it was expected, and when.

    Both are empty where nobody counts the like by the time, such as first meetings; the latter where nothing is
    expected of it.
    """
    span = window.until - window.since
    known: list[BandedSeries | None] = [None] * len(metrics)
    if span > timedelta() and anomaly.type in DETECTORS:
        known = [counted_series(anomaly, one, span=span, now=now, until=window.until) for one in metrics]
        others = [one for one, series in zip(metrics, known, strict=True) if series is None]
        banded = banded_series_of(anomaly, others, span=span, until=window.until)
        known = [series or next(banded) for series in known]
    for metric, series in zip(metrics, known, strict=True):
        yield _told(series if series and series.name == metric.name else None)


def _told(series: BandedSeries | None) -> dict[str, list[list[float]]]:
    if series is None:
        return {"dataPoints": [], "baseline": []}
    times = [int(time) for time in series.times]
    edges = zip(times, series.lower, series.upper, strict=True) if series.band != Band.NONE else ()
    return {
        "dataPoints": [[time, count] for time, count in zip(times, series.observed, strict=True)],
        "baseline": [[time, lower, upper] for time, lower, upper in edges],
    }

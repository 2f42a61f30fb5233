"""The series of types that count single requests for access, or the events of somebody's own rule."""

from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from anomalies.detection.finding import series_name
from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Anomaly, Event, Metric
from anomalies.services import access_requests, causes, rules
from anomalies.services.evidence import Band, BandedSeries

MINUTE, FIVE_MINUTES, HOUR, DAY = 60, 300, 3600, 86_400  # seconds
STEPS = {timedelta(days=1): FIVE_MINUTES, timedelta(days=7): HOUR}  # of spans so long at most; longer ones by the day
# In the evidence: since when what an anomaly tells of lasted, where that is not the time of its events.
LONG = timedelta(days=30)  # over which single requests are shown at least
BEGINNINGS = ("rejected_at", "last_request_at", "account_known_since")
COUNTED = {"access_requests", "rule_events"}  # metrics that are none of the counted series

# By the minute: exact to one, however many events a rule counts.
_BY_MINUTE = """
SELECT extract(epoch FROM date_bin('1 minute', time, TIMESTAMPTZ '2000-01-01 00:00:00+00'))::float8, count(*)
FROM ({sql}) AS counted (time) GROUP BY 1 ORDER BY 1
"""

Floats = NDArray[np.float64]


def counted_series(
    anomaly: Anomaly, metric: Metric | None, *, span: timedelta, now: datetime, until: datetime | None = None
) -> BandedSeries | None:
    """Return what an anomaly counts over a span that ends then, by default shortly after it.

    None if it is of a counted series.

    Where a rule has a window, each value is the most within it, beside the rule's limit. Where it has none, they are
    all requests of the user by the hour or day, without any band.
    """
    what = metric.what if metric else ""
    if what not in COUNTED or (metric and metric.entity != anomaly.entity):
        return None
    until = min(now, until or anomaly.active_until + span / 8)
    step = next((seconds for longest, seconds in STEPS.items() if span <= longest), DAY)
    window, band = _rule(anomaly)
    if not window:
        window = step = max(step, HOUR)
    first = (until - span).timestamp() // step * step
    starts = np.arange(first, until.timestamp(), step, dtype=np.float64)
    times, counts = _times(anomaly, since=first - window, until=until)
    observed = _most(times, counts, starts, step, window)
    if what == "rule_events":
        # The busiest window is known exactly.
        at = int((anomaly.evidence["end"] - first) // step)
        if 0 <= at < len(observed):
            observed[at] = max(observed[at], anomaly.evidence["observed"])
    limit = [float(anomaly.evidence["upper"]) if band else 0.0] * len(starts)
    return BandedSeries(
        name=series_name(what, anomaly.kind, anomaly.entity),
        unit="events" if what == "rule_events" else "requests for access",
        resolution_seconds=step,
        times=starts.tolist(),
        observed=observed.tolist(),
        expected=limit,
        lower=[0.0] * len(starts),
        upper=limit,
        band=band,
        window_seconds=window,
    )


def began(anomaly: Anomaly) -> datetime:
    """Return since when what it tells of lasted: the rejection before an approval, the last request before a gap."""
    for name in BEGINNINGS:
        if (seconds := anomaly.evidence.get(name)) is not None:
            return datetime.fromtimestamp(seconds, UTC)
    return anomaly.started_at


def told_over(anomaly: Anomaly) -> timedelta | None:
    """Return how long a time should be seen at least, or None where the usual one does."""
    if "request_id" not in anomaly.evidence or _rule(anomaly)[1]:
        return None
    return max(LONG, anomaly.active_until - began(anomaly))


def _rule(anomaly: Anomaly) -> tuple[int, Band]:
    """Return the window of its rule in seconds, 0 for none, and what its band says."""
    detector = DETECTORS.get(anomaly.type)
    window = detector.window if detector else None
    return (int(window(anomaly.evidence["parameters"])), Band.LIMIT) if window else (0, Band.NONE)


def _times(anomaly: Anomaly, *, since: float, until: datetime) -> tuple[Floats, Floats]:
    """Return the times of what it counts, ascending, in epoch seconds, and how many there are at each."""
    start = datetime.fromtimestamp(since, UTC)
    if anomaly.type in counting("rule_events"):
        about = rules.matching(anomaly.evidence["scopes"])
        events = Event.objects.filter(about, agent_id=anomaly.entity, time__gte=start, time__lt=until)
        sql, parameters = events.order_by().values("time").query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(_BY_MINUTE.format(sql=sql), parameters)
            rows = np.array(cursor.fetchall(), dtype=np.float64).reshape(-1, 2)
        return rows[:, 0], rows[:, 1]
    group = None
    if anomaly.type in causes.AUTOMATED:
        unit = anomaly.evidence["units"][0]
        group = unit["integration"], unit["resource_type"]
    times = np.array(access_requests.times_of(anomaly.entity, since=start, until=until, group=group))
    return times, np.ones(len(times))


def _most(times: Floats, counts: Floats, starts: Floats, step: int, window: int) -> NDArray[np.int64]:
    """Return for each step the most within a window that ends in it; all of the step where the window is one."""
    total = np.concatenate([[0.0], np.cumsum(counts)])

    def within(ends: Floats, side: str) -> Floats:
        last = np.searchsorted(times, ends, side=side)  # type: ignore[call-overload]
        return np.asarray(total[last] - total[np.searchsorted(times, ends - window, side="right")])

    slots = ((times - starts[0]) // step).astype(np.intp)
    shown = (slots >= 0) & (slots < len(starts))
    if window == step:
        return np.bincount(slots[shown], weights=counts[shown], minlength=len(starts)).astype(np.int64)
    most = within(starts, "left")
    np.maximum.at(most, slots[shown], within(times, "right")[shown])
    return most.astype(np.int64)

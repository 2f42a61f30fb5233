"""What this contract tells of one series that deviates in an anomaly, and of its intervals."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection
from django.db.models import Q
from ninja import Schema

from anomalies.api.anodot_v2.points import Window
from anomalies.api.anodot_v2.wording import epoch
from anomalies.api.errors import CamelSchema, exemplified
from anomalies.models import Anomaly, Interval, Metric, Series
from anomalies.models.public_id import metric_id_of

INTERVAL_EXAMPLE: dict[str, Any] = {
    "startDate": 1614508800,
    "endDate": 1614513600,
    "state": "closed",
    "score": 0.41,
    "directionUp": True,
    "type": "transient",
    "peakValue": 38.0,
    "absoluteDelta": 12.130026035603969,
    "percentageDelta": 46.88843542053082,
    "anomalySumDeltas": 22.427541379084232,
}
EXAMPLE: dict[str, Any] = {
    "id": metric_id_of("what=requests.agent=ag_billing.action=token.issue"),
    "name": "what=requests.agent=ag_billing.action=token.issue",
    "what": "requests",
    "compositeId": None,
    "user": "user_7",
    "score": 0.41,
    "value": 38,
    "delta": 46.88843542053082,
    "maxBreach": 12.130026035603969,
    "maxBreachPercentage": 46.88843542053082,
    "anomalySumDeltas": 22.427541379084232,
    "upperAbsoluteDelta": 12.130026035603969,
    "upperPercentageDelta": 46.88843542053082,
    "lowerAbsoluteDelta": None,
    "lowerPercentageDelta": None,
    "state": "closed",
    "correlation": "graph",
    "lastNormalTime": 1614508200,
    "timestamp": 1614516760,
    "anomalies": [[1614508800, 1614513600, "closed", 0.41, True, 38.0, "transient"]],
    "currentAnomalyIntervals": [INTERVAL_EXAMPLE],
    "otherAnomalyIntervals": [],
    "properties": [{"key": "agent", "value": "ag_billing"}, {"key": "action", "value": "token.issue"}],
    "tags": [],
    "dataPoints": [],
    "baseline": [],
}

_METRICS = """
SELECT id, anomaly_id, name, what, kind, entity, action, type, score, evidence->'observed' FROM anomalies_metric
WHERE anomaly_id = ANY(%s) ORDER BY score DESC, name
"""
_INTERVALS = "SELECT * FROM anomalies_interval WHERE metric_id = ANY(%s) AND main ORDER BY started_at, id"


class IntervalAnswer(CamelSchema):
    """`endDate` is null while it is open; a delta in percent is null where the edge of the band is 0."""

    start_date: int
    end_date: int | None
    state: str
    score: float
    direction_up: bool
    type: str
    peak_value: float
    absolute_delta: float
    percentage_delta: float | None
    anomaly_sum_deltas: float


class Property(Schema):
    key: str
    value: str


class MetricAnswer(CamelSchema):
    """One series, told at the resolution at which it deviates most.

    `value` is what was observed where it surprised most, `delta` the same as `maxBreachPercentage`. Deltas that there
    are none of, or in percent of 0, are null. `timestamp` is the time of the scan that changed the anomaly last.
    `dataPoints` and `baseline` are empty in lists, and where nobody counts the like by time, such as first meetings.
    """

    id: str
    name: str
    what: str
    composite_id: str | None
    user: str | None
    score: float
    value: float | None
    delta: float | None
    max_breach: float | None
    max_breach_percentage: float | None
    anomaly_sum_deltas: float
    upper_absolute_delta: float | None
    upper_percentage_delta: float | None
    lower_absolute_delta: float | None
    lower_percentage_delta: float | None
    state: str
    correlation: str
    last_normal_time: int | None
    timestamp: int
    anomalies: list[list[Any]]
    current_anomaly_intervals: list[IntervalAnswer]
    other_anomaly_intervals: list[IntervalAnswer]
    properties: list[Property]
    tags: list[str]
    data_points: list[list[float]]
    baseline: list[list[float]]

    model_config = exemplified(EXAMPLE)


@dataclass(frozen=True, slots=True)
class Deviating:
    """A metric as it is read, whether it passes what is asked of metrics, and its intervals if so."""

    pk: int
    anomaly: int
    name: str
    what: str
    kind: str
    entity: str
    action: str
    type: str
    score: float
    observed: float | None
    passes: bool
    intervals: list[Interval] = field(default_factory=list)

    @property
    def id(self) -> str:
        return metric_id_of(self.name)


def metrics_of(anomalies: Collection[int], wanted: Q) -> dict[int, list[Deviating]]:
    """Return all metrics of anomalies by the number of each, the most surprising first.

    Two statements, and one more if something is asked of them.
    """
    found: dict[int, list[Deviating]] = {}
    by_number: dict[int, Deviating] = {}
    with connection.cursor() as cursor:
        cursor.execute(_METRICS, [[*anomalies]])
        rows = cursor.fetchall()
    # By their numbers: a scan that ends meanwhile may have made others in their place.
    chosen = {row[0] for row in rows}
    if wanted:
        chosen = set(Metric.objects.filter(wanted, pk__in=chosen).values_list("pk", flat=True))
    for *known, observed in rows:
        value = None if observed is None else msgspec.json.decode(observed)
        one = Deviating(*(*known, value, known[0] in chosen))
        found.setdefault(one.anomaly, []).append(one)
        by_number[one.pk] = one
    passing = [pk for pk, one in by_number.items() if one.passes]
    for interval in Interval.objects.raw(_INTERVALS, [passing]) if passing else ():
        by_number[interval.metric_id].intervals.append(interval)
    return found


def others_of(metrics: Sequence[Deviating], window: Window) -> dict[int, list[Interval]]:
    """Return by its number when each of an anomaly's metrics deviated in others meanwhile. One statement."""
    found: dict[int, list[Interval]] = {one.pk: [] for one in metrics}
    if not metrics:
        return found
    by_name = {one.name: one for one in metrics}
    elsewhere = Interval.objects.filter(
        main=True,
        metric__kind__in={one.kind for one in metrics},
        metric__entity__in={one.entity for one in metrics},
        metric__name__in=by_name,
        metric__anomaly__in=Anomaly.objects.deviations(),
        ended_at__gt=window.since,
        started_at__lt=window.until,
    ).exclude(metric__anomaly=metrics[0].anomaly)
    for interval in elsewhere.select_related("metric").order_by("started_at", "pk"):
        found[by_name[interval.metric.name].pk].append(interval)
    return found


def told(one: Deviating, *, user: str | None, seen_at: datetime) -> dict[str, Any]:
    """Return a metric as this contract tells it, without its points."""
    above = [interval for interval in one.intervals if interval.up]
    below = [interval for interval in one.intervals if not interval.up]
    first = one.intervals[0] if one.intervals else None
    most_percent = _most(one.intervals, "delta_percent")
    return {
        "id": one.id,
        "name": one.name,
        "what": one.what,
        "compositeId": None,
        "user": one.entity if one.kind == Series.Kind.PRINCIPAL else user,
        "score": one.score,
        "value": one.observed,
        "delta": most_percent,
        "maxBreach": _most(one.intervals, "delta"),
        "maxBreachPercentage": most_percent,
        "anomalySumDeltas": sum(interval.sum_deltas for interval in one.intervals),
        "upperAbsoluteDelta": _most(above, "delta"),
        "upperPercentageDelta": _most(above, "delta_percent"),
        "lowerAbsoluteDelta": _most(below, "delta"),
        "lowerPercentageDelta": _most(below, "delta_percent"),
        "state": Anomaly.State.OPEN if any(map(_is_open, one.intervals)) else Anomaly.State.CLOSED,
        "correlation": "graph",
        "lastNormalTime": epoch(first.started_at - timedelta(seconds=first.resolution_seconds)) if first else None,
        "timestamp": epoch(seen_at),
        "anomalies": [list(_short(interval)) for interval in one.intervals],
        "currentAnomalyIntervals": [interval_told(interval) for interval in one.intervals],
        "otherAnomalyIntervals": [],
        "properties": list(_properties(one)),
        "tags": [],
        "dataPoints": [],
        "baseline": [],
    }


def interval_told(one: Interval) -> Mapping[str, Any]:
    return {
        "startDate": epoch(one.started_at),
        "endDate": _end(one),
        "state": _state(one),
        "score": one.score,
        "directionUp": one.up,
        "type": one.deviation,
        "peakValue": one.peak,
        "absoluteDelta": one.delta,
        "percentageDelta": one.delta_percent,  # what is infinite is null in JSON
        "anomalySumDeltas": one.sum_deltas,
    }


def _short(one: Interval) -> Iterator[Any]:
    yield from (epoch(one.started_at), _end(one), _state(one), one.score, one.up, one.peak, one.deviation)


def _most(intervals: Sequence[Interval], name: str) -> float | None:
    return max((getattr(interval, name) for interval in intervals), default=None)


def _is_open(one: Interval) -> bool:
    return one.state == Anomaly.State.OPEN


def _state(one: Interval) -> str:
    return Anomaly.State.OPEN if _is_open(one) else Anomaly.State.CLOSED


def _end(one: Interval) -> int | None:
    return None if _is_open(one) else epoch(one.ended_at)


def _properties(one: Deviating) -> Iterator[dict[str, str]]:
    yield {"key": one.kind, "value": one.entity}
    if one.action:
        yield {"key": "action", "value": one.action}

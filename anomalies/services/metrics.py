"""The series that deviate in an anomaly, each with its intervals."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django.db.models import Prefetch

from anomalies.detection.finding import FIGURES, Finding
from anomalies.detection.finding import Interval as FoundInterval
from anomalies.detection.finding import Metric as Found
from anomalies.models import Anomaly, Interval, Metric

_OF_INTERVALS = ("peak", "expected", "lower", "upper", "sum_deltas", "up", "deviation", "score")


def of(anomaly: Anomaly) -> list[Metric]:
    """Return its metrics with their intervals: the one that its sentence tells, then the most surprising first."""
    known = Metric.objects.filter(anomaly=anomaly).prefetch_related(
        Prefetch("intervals", Interval.objects.order_by("started_at", "resolution_seconds"))
    )

    def rank(metric: Metric) -> tuple[bool, bool, float, str]:
        own = (metric.kind, metric.entity) == (anomaly.kind, anomaly.entity)
        told = own and all(metric.evidence.get(name) == anomaly.evidence.get(name) for name in FIGURES)
        return not told, not own, -metric.score, metric.name

    return sorted(known, key=rank)


def keep(anomaly: Anomaly, found: Sequence[Found]) -> bool:
    """Store what was found of an anomaly's own entity, in the caller's transaction, and say whether anything changed.

    What it had of it is forgotten.
    """
    own = [one for one in anomaly.metrics.all() if (one.kind, one.entity) == (anomaly.kind, anomaly.entity)]
    if {one.name: _figures(one) for one in own} == {one.name: _figures_found(one) for one in found}:
        return False
    names = [metric.name for metric in found]
    Metric.objects.filter(anomaly=anomaly, kind=anomaly.kind, entity=anomaly.entity).exclude(name__in=names).delete()
    store(anomaly, found)
    return True


def attach(told: Sequence[tuple[Finding, Anomaly]], *, kind: str, judged_from: Mapping[str, datetime]) -> None:
    """Store findings as metrics of the anomalies that are their cause; of those judged before, the others go."""
    kept = set()
    for finding, cause in told:
        store(cause, finding.metrics)
        kept |= {(cause.pk, metric.name) for metric in finding.metrics}
    attached = Metric.objects.filter(
        kind=kind, entity__in=list(judged_from), anomaly__started_at__gte=min(judged_from.values())
    ).exclude(anomaly__kind=kind)
    for metric in attached.select_related("anomaly"):
        judged = metric.anomaly.started_at >= judged_from[metric.entity]
        if judged and (metric.anomaly_id, metric.name) not in kept:
            metric.delete()


def move(before: Anomaly, after: Anomaly, *, of: Anomaly | None = None) -> None:
    """Move metrics from one anomaly to another that has the same cause: all, or those that a third was raised for."""
    moved = Metric.objects.filter(anomaly=before)
    if of is not None:
        moved = moved.filter(kind=of.kind, entity=of.entity, evidence__unit=of.evidence["unit"])
    there = Metric.objects.filter(anomaly=after).values_list("name", flat=True)
    moved.filter(name__in=list(there)).delete()
    moved.update(anomaly=after)


def _figures(metric: Metric) -> tuple[object, ...]:
    intervals = {
        (
            one.resolution_seconds,
            one.started_at,
            one.ended_at,
            one.state,
            *(getattr(one, name) for name in _OF_INTERVALS),
        )
        for one in metric.intervals.all()
    }
    return metric.score, metric.evidence, intervals


def _figures_found(metric: Found) -> tuple[object, ...]:
    intervals = {
        (
            one.resolution_seconds,
            _time(one.start),
            _time(one.end),
            _state(one),
            *(getattr(one, name) for name in _OF_INTERVALS),
        )
        for one in metric.intervals
    }
    return metric.score, metric.evidence, intervals


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _state(interval: FoundInterval) -> Anomaly.State:
    return Anomaly.State.OPEN if interval.open else Anomaly.State.CLOSED


def store(anomaly: Anomaly, found: Sequence[Found]) -> None:
    """Store metrics of an anomaly with their intervals, instead of those of the same names."""
    names = [metric.name for metric in found]
    Metric.objects.bulk_create(
        [
            Metric(
                anomaly=anomaly,
                name=metric.name,
                what=metric.what,
                kind=metric.kind,
                entity=metric.entity,
                action=metric.action,
                score=metric.score,
                evidence=metric.evidence,
            )
            for metric in found
        ],
        update_conflicts=True,
        unique_fields=["anomaly", "name"],
        update_fields=["score", "evidence"],
    )
    stored = dict(Metric.objects.filter(anomaly=anomaly, name__in=names).values_list("name", "id"))
    kept = {
        (stored[metric.name], interval.resolution_seconds, _time(interval.start)): interval
        for metric in found
        for interval in metric.intervals
    }
    for known in Interval.objects.filter(metric__in=stored.values()):
        if (known.metric_id, known.resolution_seconds, known.started_at) not in kept:
            known.delete()
    Interval.objects.bulk_create(
        [
            Interval(
                metric_id=metric_id,
                resolution_seconds=resolution_seconds,
                started_at=started_at,
                ended_at=_time(interval.end),
                state=_state(interval),
                **{name: getattr(interval, name) for name in _OF_INTERVALS},
            )
            for (metric_id, resolution_seconds, started_at), interval in kept.items()
        ],
        update_conflicts=True,
        unique_fields=["metric", "resolution_seconds", "started_at"],
        update_fields=["ended_at", "state", *_OF_INTERVALS],
    )

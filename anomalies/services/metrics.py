"""The series that deviate in an anomaly, each with its intervals."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from django.db.models import F, Prefetch, Q, QuerySet

from anomalies.detection.finding import FIGURES, Finding
from anomalies.detection.finding import Interval as FoundInterval
from anomalies.detection.finding import Metric as Found
from anomalies.models import Anomaly, Interval, Metric, Scan
from anomalies.services import breaches

_OF_INTERVALS = ("peak", "expected", "lower", "upper", "sum_deltas", "up", "deviation", "score")
_OWN = Q(kind=F("anomaly__kind"), entity=F("anomaly__entity"), type=F("anomaly__type"))


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


def severest_parts(anomalies: Collection[int]) -> dict[int, Metric]:
    """Return the most severe metric of each of these anomalies, by its number, that is not of its own finding."""
    parts = Metric.objects.filter(anomaly__in=anomalies).exclude(_OWN)
    return {one.anomaly_id: one for one in parts.order_by("anomaly_id", "-severity", "name").distinct("anomaly_id")}


def keep(anomaly: Anomaly, finding: Finding) -> bool:
    """Store what was found of an anomaly itself, in the caller's transaction, and say whether anything changed.

    What it had of it is forgotten.
    """
    finding_of = (anomaly.kind, anomaly.entity, anomaly.type)
    own = [one for one in anomaly.metrics.all() if (one.kind, one.entity, one.type) == finding_of]
    found = {one.name: _figures_found(one, finding) for one in finding.metrics}
    if {one.name: _figures(one) for one in own} == found:
        return False
    of_finding(anomaly, anomaly).exclude(name__in=[metric.name for metric in finding.metrics]).delete()
    store(anomaly, finding)
    return True


def attach(
    told: Sequence[tuple[Finding, Anomaly]], *, kind: str, judged_from: Mapping[str, datetime], scan: Scan
) -> None:
    """Store findings as metrics of the anomalies that are their cause; of those judged before, the others go.

    The scan has changed the anomalies of which the most severe part is another by that.
    """
    attached = _attached(kind, judged_from)
    wholes = {cause.pk for _, cause in told} | {metric.anomaly_id for metric in attached}
    before = _severest(wholes)
    kept: dict[tuple[int, str], int] = {}
    for finding, cause in told:
        names = [(cause.pk, metric.name) for metric in finding.metrics]
        severity = max([finding.severity, *(kept[name] for name in names if name in kept)])
        _store(cause, finding, severity=severity)
        kept |= dict.fromkeys(names, severity)
    for metric in attached:
        if (metric.anomaly_id, metric.name) not in kept:
            metric.delete()
    breaches.keep(wholes)  # before some of them are locked: locked in any other order, two workers could block another
    after = _severest(wholes)
    changed = [pk for pk in wholes if before.get(pk) != after.get(pk)]
    lock = Anomaly.objects.filter(pk__in=changed).select_for_update().order_by("id").values_list("pk", flat=True)
    Anomaly.objects.filter(pk__in=list(lock)).update(last_scan=scan)


def wholes_of(kind: str, judged_from: Mapping[str, datetime]) -> set[int]:
    """Return the numbers of the anomalies that have metrics of these entities as parts, if judging may change these."""
    return {metric.anomaly_id for metric in _attached(kind, judged_from)}


def move(before: Anomaly, after: Anomaly, *, of: Anomaly | None = None) -> None:
    """Move metrics from one anomaly to another that has the same cause: all, or those that a third was raised for."""
    moved = Metric.objects.filter(anomaly=before) if of is None else of_finding(before, of)
    there = {metric.name: metric for metric in Metric.objects.filter(anomaly=after)}
    for metric in moved.filter(name__in=list(there)):  # another piece of the same series
        same = there[metric.name]
        known = Interval.objects.filter(metric=same).values_list("resolution_seconds", "started_at")
        others = [one.pk for one in metric.intervals.all() if (one.resolution_seconds, one.started_at) not in known]
        Interval.objects.filter(pk__in=others).update(metric=same)
        Metric.objects.filter(pk=same.pk).update(severity=max(same.severity, metric.severity))
        metric.delete()
    moved.update(anomaly=after)
    breaches.keep([before.pk, after.pk])


def deviates_still(anomaly: Anomaly) -> bool:
    """Return whether a series of an anomaly was not back in its band when detection last looked."""
    return Interval.objects.filter(metric__in=of_finding(anomaly, anomaly), state=Anomaly.State.OPEN).exists()


def of_finding(anomaly: Anomaly, of: Anomaly) -> QuerySet[Metric]:
    """The metrics of an anomaly that belong to the finding that this or a part of it was raised for."""
    return Metric.objects.filter(anomaly=anomaly, kind=of.kind, entity=of.entity, type=of.type)


def store(anomaly: Anomaly, finding: Finding) -> None:
    """Store a finding's metrics with their intervals as those of an anomaly, instead of those of the same names."""
    _store(anomaly, finding)
    breaches.keep([anomaly.pk])


def _store(anomaly: Anomaly, finding: Finding, *, severity: int | None = None) -> None:
    """The same, but for how far the anomaly is outside its bands: they are as severe as said, or as the finding."""
    names = [metric.name for metric in finding.metrics]
    Metric.objects.bulk_create(
        [
            Metric(
                anomaly=anomaly,
                name=metric.name,
                what=metric.what,
                kind=metric.kind,
                entity=metric.entity,
                action=metric.action,
                type=finding.type,
                severity=severity or finding.severity,
                score=metric.score,
                evidence=metric.evidence,
            )
            for metric in finding.metrics
        ],
        update_conflicts=True,
        unique_fields=["anomaly", "name"],
        update_fields=["type", "severity", "score", "evidence"],
    )
    stored = dict(Metric.objects.filter(anomaly=anomaly, name__in=names).values_list("name", "id"))
    kept = {
        (stored[metric.name], interval.resolution_seconds, _time(interval.start)): interval
        for metric in finding.metrics
        for interval in metric.intervals
    }
    main = {stored[metric.name]: _main_resolution(metric) for metric in finding.metrics}
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
                main=resolution_seconds == main[metric_id],
                **{name: getattr(interval, name) for name in _OF_INTERVALS},
            )
            for (metric_id, resolution_seconds, started_at), interval in kept.items()
        ],
        update_conflicts=True,
        unique_fields=["metric", "resolution_seconds", "started_at"],
        update_fields=["ended_at", "state", "main", *_OF_INTERVALS],
    )


def _main_resolution(metric: Found) -> int:
    """Return the resolution at which it deviates most; the finest, where its figures are of no interval's."""
    resolutions = {interval.resolution_seconds for interval in metric.intervals}
    told = int(metric.evidence["resolution_seconds"])
    return told if told in resolutions else min(resolutions, default=told)


def _attached(kind: str, judged_from: Mapping[str, datetime]) -> list[Metric]:
    """Return the metrics of entities that are parts of anomalies, of those that begin where the entities are judged."""
    parts = Metric.objects.filter(
        kind=kind, entity__in=list(judged_from), anomaly__started_at__gte=min(judged_from.values())
    ).exclude(_OWN)
    return [one for one in parts.select_related("anomaly") if one.anomaly.started_at >= judged_from[one.entity]]


def _severest(wholes: Collection[int]) -> dict[int, tuple[int, str]]:
    return {pk: (part.severity, part.name) for pk, part in severest_parts(wholes).items()}


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
    return metric.severity, metric.score, metric.evidence, intervals


def _figures_found(metric: Found, finding: Finding) -> tuple[object, ...]:
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
    return finding.severity, metric.score, metric.evidence, intervals


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _state(interval: FoundInterval) -> Anomaly.State:
    return Anomaly.State.OPEN if interval.open else Anomaly.State.CLOSED

"""Anomalies that turn out to be one: the id of each still leads to it."""

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q, QuerySet

from anomalies.detection.registry import counting
from anomalies.models import Anomaly, Interval, ReviewEntry, Scan, Series
from anomalies.services import causes, metrics
from anomalies.services.locks import Lock, call
from anomalies.services.outbox import announce
from anomalies.services.timeline import record

KINDS = (Series.Kind.AGENT, Series.Kind.PRINCIPAL, Series.Kind.ADDRESS)  # in the order in which causes are looked for


def same_series(anomaly: Anomaly, other: Anomaly) -> bool:
    """Return whether two anomalies are of one type and entity: what was told apart by a gap, and is not any more."""
    return (anomaly.type, anomaly.kind, anomaly.entity, anomaly.topic) == (
        other.type,
        other.kind,
        other.entity,
        other.topic,
    )


@transaction.atomic
def reconcile(scan: Scan) -> None:
    """Merge what has the cause of another, and part what has not any more, once a scan has judged all kinds.

    What is the cause may be judged after what it explains: an address after the agent that it attacks. Agents come
    first, addresses last: whether these guess at somebody together depends on what the others have as their cause.
    """
    if not _changed(scan).exists():
        return
    call("pg_advisory_xact_lock_shared", Lock.DECISIONS)
    for kind in KINDS:
        for pk in _touched(scan, kind):
            _reconcile(pk, scan)


def _changed(scan: Scan) -> QuerySet[Anomaly]:
    return Anomaly.objects.filter(last_scan__gt=scan.finished_before)


def _touched(scan: Scan, kind: str) -> list[int]:
    """Return the anomalies of a kind of which the cause may be another than at the last scan that was finished.

    What changed or is a part of what did; of failures also what was up at the same time as failures that changed.
    """
    changed = list(_changed(scan).values_list("id", flat=True))
    failures = Q(type__in=counting("failures"))
    touched = Q(pk__in=changed) | Q(merged_into__in=changed)
    others = Anomaly.objects.filter(failures, pk__in=changed).exclude(kind=kind)
    if earliest := others.aggregate(first=Min("started_at"))["first"]:
        meanwhile = others.filter(started_at__lt=OuterRef("active_until"), active_until__gt=OuterRef("started_at"))
        touched |= failures & Q(Exists(meanwhile), active_until__gt=earliest)
    may_have_one = failures | ~Q(told_by=[], explained_by=[])
    found = Anomaly.objects.filter(touched, may_have_one, kind=kind)
    return list(found.order_by("id").values_list("id", flat=True))


def _reconcile(pk: int, scan: Scan) -> None:
    anomaly = Anomaly.objects.select_related("merged_into").select_for_update(of=("self",)).get(pk=pk)
    whole = anomaly.merged_into
    if anomaly.state == Anomaly.State.WITHDRAWN or (whole is not None and same_series(anomaly, whole)):
        return
    cause = causes.cause_of(causes.Deviating.of_anomaly(anomaly)) or causes.target_of(anomaly)
    if cause is None and whole is not None:
        metrics.move(whole, anomaly, of=anomaly)
        part(anomaly, open_=metrics.deviates_still(anomaly), scan=scan)
    elif cause is not None and cause != whole and cause != anomaly:
        if whole is not None:
            metrics.move(whole, cause, of=anomaly)
            _note_change(whole, scan)
        scan.anomalies_merged += merge(anomaly, into=cause, scan=scan)


def merge(anomaly: Anomaly, *, into: Anomaly, scan: Scan) -> bool:
    """Make an anomaly a part of another, in the caller's transaction, and say whether it was none before.

    Its timeline and what people decided about it stay with it; the other is up for review as it was.
    """
    if anomaly.merged_into_id == into.pk:
        return False
    Anomaly.objects.filter(Q(pk=anomaly.pk) | Q(merged_into=anomaly)).update(merged_into=into)
    if same_series(anomaly, into):
        metrics.of_finding(anomaly, anomaly).delete()  # the finding of the other tells all of that series
    metrics.move(anomaly, into)
    anomaly.merged_into, anomaly.updated_at, anomaly.last_scan = into, scan.now, scan
    anomaly.state, anomaly.ended_at = Anomaly.State.CLOSED, anomaly.active_until
    anomaly.save(update_fields=["updated_at", "last_scan", "state", "ended_at"])
    Interval.objects.filter(metric__anomaly=anomaly).update(state=Anomaly.State.CLOSED)
    _note_change(into, scan)
    decided = "" if anomaly.status == Anomaly.Status.OPEN else f", {anomaly.status} before"
    record(anomaly, ReviewEntry.Action.MERGED, scan.now, note=f"into {into.public_id}: the same cause")
    record(
        into,
        ReviewEntry.Action.MERGED,
        scan.now,
        note=f"{anomaly.public_id} ({anomaly.entity}{decided}): the same cause",
    )
    if anomaly.suppression_id is None and not anomaly.of_the_past:
        announce("anomaly.merged", anomaly)
    return True


def part(anomaly: Anomaly, *, open_: bool, scan: Scan) -> None:
    """Let an anomaly that was merged stand for itself again: it has turned out to have a cause of its own.

    With it comes what had been merged into it before. `open_`: it deviates still.
    """
    whole = anomaly.merged_into
    assert whole is not None  # only what was merged is parted
    anomaly.merged_into, anomaly.updated_at, anomaly.last_scan = None, scan.now, scan
    anomaly.state = Anomaly.State.OPEN if open_ else Anomaly.State.CLOSED
    anomaly.ended_at = None if open_ else anomaly.active_until
    anomaly.save(update_fields=["merged_into", "updated_at", "last_scan", "state", "ended_at"])
    of_same_series = Anomaly.objects.filter(
        merged_into=whole,
        type=anomaly.type,
        kind=anomaly.kind,
        entity=anomaly.entity,
        topic=anomaly.topic,
        started_at__lte=anomaly.active_until,
        active_until__gte=anomaly.started_at,
    )
    of_same_series.update(merged_into=anomaly)
    _note_change(whole, scan)
    record(anomaly, ReviewEntry.Action.PARTED, scan.now, note=f"from {whole.public_id}: a cause of its own")
    record(
        whole, ReviewEntry.Action.PARTED, scan.now, note=f"{anomaly.public_id} ({anomaly.entity}): a cause of its own"
    )
    if anomaly.suppression_id is None and not anomaly.of_the_past:
        announce("anomaly.parted", anomaly)


def _note_change(whole: Anomaly, scan: Scan) -> None:
    """Note that another thing is part of an anomaly than was: its severity may be another by that."""
    whole.last_scan = scan
    whole.save(update_fields=["last_scan"])

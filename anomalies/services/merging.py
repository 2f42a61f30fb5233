"""Anomalies that turn out to be one: the id of each still leads to it."""

from django.db.models import Q

from anomalies.models import Anomaly, Interval, ReviewEntry, Scan
from anomalies.services.outbox import announce
from anomalies.services.timeline import record


def merge(anomaly: Anomaly, *, into: Anomaly, scan: Scan) -> bool:
    """Make an anomaly a part of another, in the caller's transaction, and say whether it was none before.

    Its timeline and what people decided about it stay with it; the other is up for review as it was.
    """
    if anomaly.merged_into_id == into.pk:
        return False
    Anomaly.objects.filter(Q(pk=anomaly.pk) | Q(merged_into=anomaly)).update(merged_into=into)
    anomaly.merged_into, anomaly.updated_at, anomaly.last_scan = into, scan.now, scan
    anomaly.state, anomaly.ended_at = Anomaly.State.CLOSED, anomaly.active_until
    anomaly.save(update_fields=["updated_at", "last_scan", "state", "ended_at"])
    Interval.objects.filter(metric__anomaly=anomaly).update(state=Anomaly.State.CLOSED)
    decided = "" if anomaly.status == Anomaly.Status.OPEN else f", {anomaly.status} before"
    record(anomaly, ReviewEntry.Action.MERGED, scan.now, note=f"into {into.public_id}: the same cause")
    record(
        into,
        ReviewEntry.Action.MERGED,
        scan.now,
        note=f"{anomaly.public_id} ({anomaly.entity}{decided}): the same cause",
    )
    if anomaly.suppression_id is None:
        announce("anomaly.merged", anomaly)
    return True


def part(anomaly: Anomaly, *, scan: Scan) -> None:
    """Let an anomaly that was merged stand for itself again: it has turned out to have a cause of its own."""
    whole = anomaly.merged_into
    assert whole is not None  # only what was merged is parted
    anomaly.merged_into = None
    anomaly.save(update_fields=["merged_into"])
    record(anomaly, ReviewEntry.Action.PARTED, scan.now, note=f"from {whole.public_id}: a cause of its own")
    record(
        whole, ReviewEntry.Action.PARTED, scan.now, note=f"{anomaly.public_id} ({anomaly.entity}): a cause of its own"
    )

"""Decisions taken back, one or many: what they changed is again as it was, by an entry that says so."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import ForeignKey, Q, QuerySet
from django.db.models.expressions import RawSQL

from anomalies.models import Anomaly, BulkReview, Notice, ReviewEntry
from anomalies.services.actor import Actor
from anomalies.services.deciding import lock
from anomalies.services.decisions import ReviewError
from anomalies.services.outbox import announce_all
from anomalies.services.timeline import DETECTION

UNDO_WITHIN = timedelta(hours=24)
UNDOABLE = frozenset(
    {
        ReviewEntry.Action.ACKNOWLEDGED,
        ReviewEntry.Action.RESOLVED,
        ReviewEntry.Action.REOPENED,
        ReviewEntry.Action.SNOOZED,
        ReviewEntry.Action.ASSIGNED,
        ReviewEntry.Action.RENAMED,
        ReviewEntry.Action.SUPPRESSED,
    }
)
_OF_STATUS = frozenset({ReviewEntry.Action.ACKNOWLEDGED, ReviewEntry.Action.RESOLVED})
_TOLD = {
    Anomaly.Status.OPEN: "anomaly.reopened",
    Anomaly.Status.ACKNOWLEDGED: "anomaly.acknowledged",
    Anomaly.Status.RESOLVED: "anomaly.resolved",
}

# Entries that were written before they kept what they changed are acknowledgements, and these changed this.
_BEFORE_CHANGES = ("status", "acknowledged_at", "acknowledged_by")
_CHANGES = """
CASE WHEN e.changes = '{{}}' THEN jsonb_build_object(
    'status', jsonb_build_array('open', 'acknowledged'),
    'acknowledged_at', jsonb_build_array(NULL, e.at),
    'acknowledged_by', jsonb_build_array('', e.actor)) ELSE e.changes END
"""
_UNDO = f"""
WITH taken AS MATERIALIZED (
    SELECT e.id, e.anomaly_id, {_CHANGES} AS changes FROM anomalies_reviewentry e
    WHERE e.id = ANY(%(entries)s) AND NOT EXISTS (SELECT FROM anomalies_reviewentry u WHERE u.undoes_id = e.id)
), restored AS (
    UPDATE anomalies_anomaly a SET {{sets}}, updated_at = %(at)s FROM taken t
    WHERE a.id = t.anomaly_id AND {{unchanged}} RETURNING t.*
)
INSERT INTO anomalies_reviewentry
    (anomaly_id, action, at, actor, user_id, from_status, to_status, note, changes, bulk_id, undoes_id)
SELECT anomaly_id, 'undone', %(at)s, %(actor)s, %(user)s,
       CASE WHEN changes->'status'->0 <> changes->'status'->1 THEN changes->'status'->>1 ELSE '' END,
       CASE WHEN changes->'status'->0 <> changes->'status'->1 THEN changes->'status'->>0 ELSE '' END,
       '', jsonb_build_object({{inverted}}), %(bulk)s, id
FROM restored ORDER BY id RETURNING undoes_id, id, anomaly_id, to_status
"""  # noqa: S608  names of our own


class NothingToUndoError(ReviewError):
    """What cannot be taken back, or not any more; `reason` says what became of it since."""

    def __init__(self, anomaly: Anomaly, reason: str) -> None:
        self.anomaly, self.reason = anomaly, reason
        super().__init__(f"{anomaly.public_id} was {reason}.")


class NotUndoableError(ReviewError):
    def __init__(self, entry: ReviewEntry) -> None:
        super().__init__(f"Only a decision of a person can be undone, this is: {_said(entry)} by {entry.actor}.")


class UndoExpiredError(ReviewError):
    def __init__(self, entry: ReviewEntry) -> None:
        hours = UNDO_WITHIN.total_seconds() / 3600
        instead = "reopen it" if entry.action in _OF_STATUS else "decide anew"
        super().__init__(f"It was {_said(entry)} more than {hours:.0f} hours ago: {instead} instead.")


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The entries that undo, by the entry that they undo; `refused` are those that stay."""

    entries: Mapping[int, int]
    refused: list[NothingToUndoError]


def check_time(entry: ReviewEntry, *, at: datetime) -> None:
    """Raises UndoExpiredError if an entry is too old to be undone."""
    if at - entry.at > UNDO_WITHIN:
        raise UndoExpiredError(entry)


def take_back(one: ReviewEntry, *, by: Actor, at: datetime, bulk: BulkReview | None = None) -> TakenBack:
    """Undo an entry, or all of the bulk review that it is the first of, in the caller's transaction.

    Those are undone of which the anomaly still is as the decision left it.

    Raises NotUndoableError if they are no decision of a person.
    """
    if one.action not in UNDOABLE or one.actor == DETECTION.name:
        raise NotUndoableError(one)
    if not one.changes and one.action != ReviewEntry.Action.ACKNOWLEDGED:
        raise NotUndoableError(one)
    names = list(one.changes or _BEFORE_CHANGES)
    anomalies = dict(done_by(bulk).values_list("pk", "anomaly")) if bulk else {one.pk: one.anomaly_id}
    list(lock(anomalies.values()).values_list("pk"))
    undone = _undo(list(anomalies), names, by=by, at=at, bulk=bulk)
    untold = RawSQL("SELECT unnest(%s::bigint[])", [list(undone)])
    Notice.objects.filter(entry__in=untold, seen_at=None).delete()
    left = ReviewEntry.objects.filter(pk__in=anomalies.keys() - undone.keys()).order_by("id")
    return TakenBack(undone, _refused(list(left), names) if len(undone) < len(anomalies) else [])


def done_by(bulk: BulkReview) -> QuerySet[ReviewEntry]:
    """The entries of what a bulk review did, not of what was undone of it."""
    return ReviewEntry.objects.filter(bulk=bulk, undoes=None).order_by("id")


def _undo(
    entry_ids: list[int], names: list[str], *, by: Actor, at: datetime, bulk: BulkReview | None
) -> dict[int, int]:
    columns = {name: Anomaly.field(name).column for name in names}
    with connection.cursor() as cursor:
        cursor.execute(
            _UNDO.format(
                sets=", ".join(f"{column} = {_restored(name)}" for name, column in columns.items()),
                unchanged=" AND ".join(
                    f"a.{column} IS NOT DISTINCT FROM {_value(name, 1)}" for name, column in columns.items()
                ),
                inverted=", ".join(
                    f"'{name}', jsonb_build_array(changes->'{name}'->1, changes->'{name}'->0)" for name in names
                ),
            ),
            {
                "entries": entry_ids,
                "at": at,
                "actor": by.name,
                "user": by.user.pk if by.user else None,
                "bulk": bulk.pk if bulk else None,
            },
        )
        rows = cursor.fetchall()
    told: dict[str, list[int]] = defaultdict(list)
    for _, _, anomaly_id, status in rows:
        told[_TOLD[Anomaly.Status(status)] if status else "anomaly.updated"].append(anomaly_id)
    for message, anomaly_ids in told.items():
        announce_all(message, anomaly_ids)
    return {undone: entry for undone, entry, _, _ in rows}


def _value(name: str, which: int) -> str:
    return f"(t.changes->'{name}'->>{which})::{Anomaly.field(name).db_type(connection)}"


def _restored(name: str) -> str:
    """What it was before; of a row that is no more, or a user who may not log in any more, nothing."""
    field = Anomaly.field(name)
    if not isinstance(field, ForeignKey):
        return _value(name, 0)
    related = field.related_model._meta
    row = f"{related.db_table} WHERE {related.pk.column} = {_value(name, 0)}"
    row += " AND is_active" * (name == "assignee")
    return f"(SELECT {related.pk.column} FROM {row})"  # noqa: S608  names of our own


def _refused(left: list[ReviewEntry], names: list[str]) -> list[NothingToUndoError]:
    """Say of each what was faster: that it was undone, or what changed the same since."""
    by_anomaly = {entry.anomaly_id: entry for entry in left}
    undone = {entry.undoes_id: entry for entry in ReviewEntry.objects.filter(undoes__in=left)}
    touching = Q(changes__has_any_keys=names)
    if "status" in names:
        touching |= ~Q(to_status="")
    since: dict[int, ReviewEntry] = {}
    for entry in ReviewEntry.objects.filter(touching, anomaly__in=list(by_anomaly)).order_by("id"):
        if entry.pk > by_anomaly[entry.anomaly_id].pk:
            since[entry.anomaly_id] = entry
    anomalies = Anomaly.objects.in_bulk(list(by_anomaly))
    refused = []
    for entry in left:
        if again := undone.get(entry.pk):
            reason = f"undone since by {again.actor}"
        elif later := since.get(entry.anomaly_id):
            reason = f"{_said(later)} since by {later.actor}"
        else:
            reason = "changed since"
        refused.append(NothingToUndoError(anomalies[entry.anomaly_id], reason))
    return refused


def _said(entry: ReviewEntry) -> str:
    return str(entry.get_action_display()).lower()

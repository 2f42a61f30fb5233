"""Decisions carried out, over one anomaly or many: one UPDATE, one INSERT of entries, one of messages."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from anomalies.models import Anomaly, BulkReview, ReviewEntry
from anomalies.services.actor import Actor
from anomalies.services.decisions import Decision, RefusedError
from anomalies.services.locks import Lock, call
from anomalies.services.outbox import announce_all

# What was so before is read in the same statement that changes it, of rows that are locked already. Their numbers are
# said twice: by a join alone, all anomalies would be read to find them.
_DECIDE = """
WITH before AS MATERIALIZED (SELECT id, status{columns} FROM anomalies_anomaly WHERE id = ANY(%(ids)s)),
after AS ({after})
INSERT INTO anomalies_reviewentry
    (anomaly_id, action, at, actor, user_id, from_status, to_status, note, changes, bulk_id)
SELECT id, %(action)s, %(at)s, %(actor)s, %(user)s,
       CASE WHEN status <> status_before THEN status_before ELSE '' END,
       CASE WHEN status <> status_before THEN status ELSE '' END,
       %(note)s, changes, %(bulk)s
FROM after ORDER BY id RETURNING id, anomaly_id
"""
_CHANGE = """
UPDATE anomalies_anomaly a SET {sets}, updated_at = %(at)s FROM before b
WHERE a.id = b.id AND a.id = ANY(%(ids)s)
RETURNING a.id, a.status, b.status AS status_before, jsonb_build_object({changes}) AS changes
"""
_KEEP = "SELECT id, status, status AS status_before, '{}'::jsonb AS changes FROM before"

# The decision that gave an anomaly the status that it has.
_LAST = """
SELECT DISTINCT ON (e.anomaly_id) e.* FROM anomalies_reviewentry e JOIN anomalies_anomaly a ON a.id = e.anomaly_id
WHERE a.id = ANY(%s) AND e.to_status = a.status AND e.to_status <> '' ORDER BY e.anomaly_id, e.id DESC
"""
# The one that changed any of these fields last.
_LAST_OF = """
SELECT DISTINCT ON (anomaly_id) * FROM anomalies_reviewentry
WHERE anomaly_id = ANY(%s) AND changes ?| %s ORDER BY anomaly_id, id DESC
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """`entries` by anomaly; `refused` are those that stay as they were."""

    entries: Mapping[int, int]
    refused: list[RefusedError]


def take(
    decision: Decision,
    anomaly_ids: Collection[int],
    *,
    by: Actor,
    at: datetime,
    note: str = "",
    bulk: BulkReview | None = None,
) -> Taken:
    """Carry a decision out on those anomalies that it can be taken of, in the caller's transaction."""
    possible: list[int] = []
    left: list[int] = []
    for one, alike in _alike(decision, anomaly_ids):
        (left if decision.refusal(one, None) else possible).extend(alike)
    refused = _refused(decision, left) if left else []
    entries = _write(decision, possible, by=by, at=at, note=note, bulk=bulk) if possible else {}
    if decision.message and entries:
        announce_all(decision.message, list(entries))
    return Taken(entries, refused)


def lock(anomaly_ids: Collection[int]) -> QuerySet[Anomaly]:
    """Anomalies, locked once they are read: by number, which never changes, as everywhere.

    Who locks many waits for what detection keeps just now, which needs one after the other: neither waits for a row
    that the other has while it has one that the other needs.
    """
    ids = list(anomaly_ids)
    if len(ids) > 1:
        call("pg_advisory_xact_lock", Lock.DECISIONS)
    return _numbered(ids).select_for_update(of=("self",)).order_by("id")


def _alike(decision: Decision, anomaly_ids: Collection[int]) -> Iterator[tuple[Anomaly, list[int]]]:
    """Lock them, and yield one of each kind that the decision tells apart, with the numbers of all that are like it.

    An object of each of ten thousand would take a fifth of the time of all that is done to them.
    """
    kinds: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for columns in lock(anomaly_ids).values("id", *decision.looks_at):
        kinds[decision.kind(columns)].append(columns["id"])
    first = _looked_at(decision, [numbers[0] for numbers in kinds.values()]).in_bulk()
    return ((first[numbers[0]], numbers) for numbers in kinds.values())


def _refused(decision: Decision, ids: Sequence[int]) -> list[RefusedError]:
    found = ReviewEntry.objects.raw(*((_LAST_OF, [ids, [*decision.seen]]) if decision.seen else (_LAST, [ids])))
    last = {entry.anomaly_id: entry for entry in found}
    return [error for one in _looked_at(decision, ids) if (error := decision.refusal(one, last.get(one.pk)))]


def _looked_at(decision: Decision, ids: Sequence[int]) -> QuerySet[Anomaly]:
    """Anomalies by number, with all that a refusal looks at and tells."""
    told = ("public_id", "merged_into__public_id", *decision.looks_at)
    return _numbered(ids).select_related("merged_into").only(*told).order_by("id")


def _numbered(ids: Collection[int]) -> QuerySet[Anomaly]:
    wanted = RawSQL("SELECT unnest(%s::bigint[])", [list(ids)])  # thousands of parameters would be slow
    return Anomaly.objects.filter(pk__in=wanted)


def _write(
    decision: Decision, ids: Sequence[int], *, by: Actor, at: datetime, note: str, bulk: BulkReview | None
) -> dict[int, int]:
    values = {**decision.sets, **decision.sets_if_open}
    columns = {name: Anomaly.field(name).column for name in values}
    sets = ", ".join(
        f"{columns[name]} = CASE WHEN b.status = 'open' THEN {_cast(name)} ELSE b.{columns[name]} END"
        if name in decision.sets_if_open
        else f"{columns[name]} = {_cast(name)}"
        for name in values
    )
    changes = ", ".join(f"'{name}', jsonb_build_array(b.{column}, a.{column})" for name, column in columns.items())
    after = _CHANGE.format(sets=sets, changes=changes) if values else _KEEP
    more = "".join(f", {column}" for column in columns.values() if column != "status")
    with connection.cursor() as cursor:
        cursor.execute(
            _DECIDE.format(columns=more, after=after),
            {
                **{f"set_{name}": value for name, value in values.items()},
                "ids": list(ids),
                "action": decision.action,
                "at": at,
                "actor": by.name,
                "user": by.user.pk if by.user else None,
                "note": note,
                "bulk": bulk.pk if bulk else None,
            },
        )
        return {anomaly: entry for entry, anomaly in cursor.fetchall()}


def _cast(name: str) -> str:
    return f"%(set_{name})s::{Anomaly.field(name).db_type(connection)}"

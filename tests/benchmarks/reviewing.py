"""How long one decision about 10,000 anomalies takes beside its least: one UPDATE and two INSERTs of as many rows.

The bare reference checks nothing, keeps nothing of what was so before, and says nothing in its messages. It changes
other anomalies than ours does, as many, so that both can take turns.
"""

from django.contrib.auth.models import Group, User
from django.db import connection, transaction

from anomalies.models import Anomaly, BulkReview
from anomalies.services import bulk
from anomalies.services.actor import Actor
from tests.benchmarks import rows
from tests.benchmarks.turns import Seconds, compared

_UPDATE = """
UPDATE anomalies_anomaly SET status = 'acknowledged', acknowledged_at = %(at)s, acknowledged_by = 'ana',
    updated_at = %(at)s
WHERE id = ANY(%(ids)s)
"""
_ENTRIES = """
INSERT INTO anomalies_reviewentry (anomaly_id, action, at, actor, from_status, to_status, note)
SELECT id, 'acknowledged', %(at)s, 'ana', 'open', 'acknowledged', '' FROM unnest(%(ids)s::bigint[]) AS id
"""
_MESSAGES = """
INSERT INTO anomalies_outboxmessage (type, anomaly_id, payload)
SELECT 'anomaly.acknowledged', id, '{}' FROM unnest(%(ids)s::bigint[]) AS id
"""
# What is still to be checked at the end of a transaction stands in the way of emptying a table. Messages stay: there
# are some of each anomaly, and each new one is put behind them.
_AGAIN = """
SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE anomalies_reviewentry, anomalies_bulkreview CASCADE;
UPDATE anomalies_anomaly SET status = 'open', acknowledged_at = NULL, acknowledged_by = '' WHERE id = ANY(%(ids)s)
"""


def bulk_of(anomalies: int = 100_000, *, rounds: int = 5) -> dict[str, Seconds]:
    """Return how long it takes to acknowledge a tenth of so many at once, and to undo that."""
    rows.actors(1000, days=1)
    rows.anomalies(anomalies)
    user = User.objects.create_user("benchmark")
    user.groups.add(Group.objects.get(name="reviewer"))
    by = Actor("benchmark", user)
    ids = list(Anomaly.objects.filter(status="open").values_list("pk", flat=True))
    others = list(Anomaly.objects.filter(status="acknowledged").values_list("pk", flat=True)[: len(ids)])
    prepared: list[BulkReview] = []

    def prepare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(_AGAIN, {"ids": ids})
            if not connection.in_atomic_block:  # what turns before left behind is no part of a decision
                cursor.execute("VACUUM ANALYZE anomalies_anomaly")
        prepared[:] = [bulk.prepare(action="acknowledge", arguments={}, note="", anomaly_ids=ids, by=by, at=rows.TODAY)]

    def acknowledge() -> None:
        assert bulk.carry_out(prepared[0], by=by, at=rows.TODAY).done == len(ids)

    def acknowledged() -> None:
        prepare()
        acknowledge()

    def undo() -> None:
        assert bulk.undo(prepared[0], by=by, at=rows.TODAY).done == len(ids)

    @transaction.atomic
    def bare() -> None:
        with connection.cursor() as cursor:
            for statement in (_UPDATE, _ENTRIES, _MESSAGES):
                cursor.execute(statement, {"ids": others, "at": rows.TODAY})

    try:
        return {
            "acknowledge": compared(acknowledge, bare, rounds=rounds, before=prepare),
            "undo": compared(undo, bare, rounds=rounds, before=acknowledged),
        }
    finally:
        rows.empty([*rows.ALL, "anomalies_bulkreview"])
        user.delete()

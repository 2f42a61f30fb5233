"""What others are to be told about an anomaly, written in the caller's transaction."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Value

from anomalies.models import Anomaly, OutboxMessage, Severity
from anomalies.models.notification import Turn

# As `payload` says it, for many at once; a test holds them together.
_TIMES = "to_char(a.{0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS' || CASE"
_TIMES += " WHEN date_trunc('second', a.{0}) = a.{0} THEN '' ELSE '.US' END || '\"+00:00\"')"
_SPELLED = {
    "id": "a.public_id",
    "severity": "CASE a.severity " + " ".join(f"WHEN {one.value} THEN '{one.label}'" for one in Severity) + " END",
    **{
        name: _TIMES.format(name)
        for name in ("started_at", "detected_at", "acknowledged_at", "resolved_at", "snoozed_until")
    },
    "assignee": "u.username",
}
_SAID = (
    *("id", "type", "severity", "score", "description", "agent_id", "principal_id", "ip", "state", "status"),
    *("started_at", "detected_at", "acknowledged_at", "evidence"),
    *("title", "verdict", "reason", "resolved_at", "snoozed_until", "assignee"),
)
# Of an anomaly's messages those alone are looked for that go with a later transaction than this: there are hardly any.
_ANNOUNCE = f"""
INSERT INTO anomalies_outboxmessage (transaction, type, anomaly_id, payload)
SELECT greatest(pg_current_xact_id()::text::bigint, told.last),
       %(type)s, a.id, jsonb_build_object({", ".join(f"'{name}', {_SPELLED.get(name, f'a.{name}')}" for name in _SAID)})
FROM anomalies_anomaly a LEFT JOIN auth_user u ON u.id = a.assignee_id
LEFT JOIN (
    SELECT anomaly_id, max(transaction) AS last FROM anomalies_outboxmessage
    WHERE anomaly_id = ANY(%(ids)s) AND transaction > pg_current_xact_id()::text::bigint GROUP BY 1
) AS told ON told.anomaly_id = a.id
WHERE a.id = ANY(%(ids)s) ORDER BY a.id
"""  # noqa: S608  names of our own


def facts(anomaly: Anomaly) -> dict[str, Any]:
    """The anomaly in plain JSON, in our own words."""
    return {
        "id": anomaly.public_id,
        "type": anomaly.type,
        "severity": Severity(anomaly.severity).label,
        "score": anomaly.score,
        "description": anomaly.description,
        "agent_id": anomaly.agent_id,
        "principal_id": anomaly.principal_id,
        "ip": anomaly.ip,
        "state": anomaly.state,
        "status": anomaly.status,
        "started_at": anomaly.started_at.isoformat(),
        "detected_at": anomaly.detected_at.isoformat(),
        "acknowledged_at": _iso(anomaly.acknowledged_at),
        "evidence": anomaly.evidence,
    }


def payload(anomaly: Anomaly) -> dict[str, Any]:
    """Its facts, and what people made of it."""
    return {
        **facts(anomaly),
        "title": anomaly.title,
        "verdict": anomaly.verdict,
        "reason": anomaly.reason,
        "resolved_at": _iso(anomaly.resolved_at),
        "snoozed_until": _iso(anomaly.snoozed_until),
        "assignee": anomaly.assignee.get_username() if anomaly.assignee else None,
    }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def announce(type_: str, anomaly: Anomaly) -> OutboxMessage:
    """Write a message such as `anomaly.detected`. Raises outside a transaction: it must be true when it is read."""
    _in_transaction()
    turn = Turn(Value(anomaly.pk))
    return OutboxMessage.objects.create(type=type_, anomaly=anomaly, payload=payload(anomaly), transaction=turn)


def announce_all(type_: str, anomaly_ids: Collection[int]) -> None:
    """Write the same message of each of them, as `announce` does."""
    _in_transaction()
    with connection.cursor() as cursor:
        cursor.execute(_ANNOUNCE, {"type": type_, "ids": list(anomaly_ids)})


def _in_transaction() -> None:
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("announce() belongs into the transaction that makes it true")

"""What others are to be told about an anomaly, written in the caller's transaction."""

from typing import Any

from django.db import transaction

from anomalies.models import Anomaly, OutboxMessage, Severity


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
        "acknowledged_at": anomaly.acknowledged_at.isoformat() if anomaly.acknowledged_at else None,
        "evidence": anomaly.evidence,
    }


def announce(type_: str, anomaly: Anomaly) -> OutboxMessage:
    """Write a message such as `anomaly.detected`. Raises outside a transaction: it must be true when it is read."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("announce() belongs into the transaction that makes it true")
    return OutboxMessage.objects.create(type=type_, anomaly=anomaly, payload=facts(anomaly))

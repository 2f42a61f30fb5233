"""What was announced of anomalies, as findings in the settled order of the outbox: each change once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef

from anomalies.models import Anomaly, OutboxMessage, Severity
from anomalies.models.anomaly import SUPPRESSED
from anomalies.services import ocsf, stream
from anomalies.services.stream import Position

MOST = stream.MESSAGES_AT_ONCE
_SEVERITIES = {severity.label: severity for severity in Severity}
_BY_TYPE = {"anomaly.merged": ocsf.MERGED, "anomaly.suppressed": SUPPRESSED}
_AS_THEN = ("score", "description", "state", "status", "evidence")
_LATELY_TOLD = ("title", "verdict", "reason")  # messages of an early version lack them


@dataclass(frozen=True, slots=True)
class Page:
    """`position` is after the last of them; `more` says that others may follow at once."""

    findings: list[dict[str, Any]]
    position: Position
    more: bool


def start(since: datetime | None) -> Position:
    """Return where to begin: before all there is, or before the first that was announced since.

    Their order is not quite that of their times, so that a few from before may come along.
    """
    if since is None:
        return Position(0, 0)
    messages = OutboxMessage.objects.settled().filter(created_at__gte=since)
    first = messages.values_list("transaction", "pk").first()
    return Position(first[0], first[1] - 1) if first else stream.newest_position()


def page(position: Position, *, limit: int = MOST) -> Page:
    """Return the next changes after a position."""
    earlier = OutboxMessage.objects.filter(anomaly=OuterRef("anomaly"), pk__lt=OuterRef("pk"))
    messages = stream.settled_after(position).select_related("anomaly").annotate(is_first=~Exists(earlier))[:limit]
    found = list(messages)
    return Page(
        findings=[_finding(message, new=message.is_first) for message in found],
        position=Position.of(found[-1]) if found else position,
        more=len(found) == limit,
    )


def _finding(message: OutboxMessage, *, new: bool) -> dict[str, Any]:
    anomaly = _as_then(message)
    status = _BY_TYPE.get(message.type) or ocsf.status_of(anomaly)
    return ocsf.finding(
        anomaly,
        status,
        assignee=message.payload.get("assignee") or "",
        activity=ocsf.activity_of(status, new=new),
        at=message.created_at,
        uid=str(Position.of(message)),
    )


def _as_then(message: OutboxMessage) -> Anomaly:
    """Return the anomaly as it was when that was announced, in all that a message tells."""
    anomaly, then = message.anomaly, message.payload
    for name in _AS_THEN:
        setattr(anomaly, name, then[name])
    for name in _LATELY_TOLD:
        setattr(anomaly, name, then.get(name, ""))
    anomaly.severity = _SEVERITIES[then["severity"]]
    anomaly.snoozed_until = datetime.fromisoformat(then["snoozed_until"]) if then.get("snoozed_until") else None
    anomaly.merged_into_id = anomaly.suppression_id = None
    return anomaly

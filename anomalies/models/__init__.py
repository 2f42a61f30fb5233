"""The facts: rows, constraints and querysets."""

from anomalies.models.access import Agent, AgentPrincipal, Grant, Principal, ResponsePolicy
from anomalies.models.anomaly import Anomaly, Interval, Severity
from anomalies.models.api_key import ApiKey
from anomalies.models.audit import AuditEntry
from anomalies.models.detector import DetectorSettings
from anomalies.models.event import Batch, Event, Source
from anomalies.models.notification import OutboxMessage
from anomalies.models.review import ReviewEntry
from anomalies.models.scan import Scan
from anomalies.models.series import BucketBlock, Series
from anomalies.models.stream import StreamLease

__all__ = [
    "Agent",
    "AgentPrincipal",
    "Anomaly",
    "ApiKey",
    "AuditEntry",
    "Batch",
    "BucketBlock",
    "DetectorSettings",
    "Event",
    "Grant",
    "Interval",
    "OutboxMessage",
    "Principal",
    "ResponsePolicy",
    "ReviewEntry",
    "Scan",
    "Series",
    "Severity",
    "Source",
    "StreamLease",
]

"""The facts: rows, constraints and querysets."""

from anomalies.models.access import Agent, AgentPrincipal, Grant, Principal, ResponsePolicy
from anomalies.models.anomaly import Anomaly, Breach, Interval, Metric, Severity
from anomalies.models.api_key import ApiKey, ApiKeyUse
from anomalies.models.audit import AuditEntry
from anomalies.models.authorization import Authorization
from anomalies.models.bulk import BulkReview
from anomalies.models.change import Change
from anomalies.models.channel import Channel
from anomalies.models.connection import Connection
from anomalies.models.delivery import Delivery, DeliveryAttempt
from anomalies.models.desk import Bookmark, Notice, SavedView
from anomalies.models.detector import Backtest, DetectorOverride, DetectorSettings, Rule
from anomalies.models.event import Batch, Event, Retention, Source, SourceLag
from anomalies.models.notification import OutboxMessage
from anomalies.models.request import AccessFlow, AccessRequest
from anomalies.models.review import ReviewEntry
from anomalies.models.revocation import Revocation, RevocationAttempt, RevocationCall
from anomalies.models.scan import Scan, ScanShare
from anomalies.models.search_document import SearchDocument
from anomalies.models.series import BucketBlock, Outlook, Series
from anomalies.models.sighting import Sighting
from anomalies.models.stream import StreamLease
from anomalies.models.suppression import Suppression

__all__ = [
    "AccessFlow",
    "AccessRequest",
    "Agent",
    "AgentPrincipal",
    "Anomaly",
    "ApiKey",
    "ApiKeyUse",
    "AuditEntry",
    "Authorization",
    "Backtest",
    "Batch",
    "Bookmark",
    "Breach",
    "BucketBlock",
    "BulkReview",
    "Change",
    "Channel",
    "Connection",
    "Delivery",
    "DeliveryAttempt",
    "DetectorOverride",
    "DetectorSettings",
    "Event",
    "Grant",
    "Interval",
    "Metric",
    "Notice",
    "OutboxMessage",
    "Outlook",
    "Principal",
    "ResponsePolicy",
    "Retention",
    "ReviewEntry",
    "Revocation",
    "RevocationAttempt",
    "RevocationCall",
    "Rule",
    "SavedView",
    "Scan",
    "ScanShare",
    "SearchDocument",
    "Series",
    "Severity",
    "Sighting",
    "Source",
    "SourceLag",
    "StreamLease",
    "Suppression",
]

"""Who asked for which access, by which flow, and what became of it."""

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now

from anomalies.models.access import Principal
from anomalies.models.event import Source


class AccessFlow(models.Model):
    """The rule that governs requests: who may ask for what, for how long, and who approves."""

    public_id = models.CharField("access flow", max_length=200, unique=True)
    name = models.CharField(max_length=200, blank=True, default="")
    description = models.TextField(blank=True, default="")
    active = models.BooleanField(default=True)
    grant_duration_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: without end")
    requestors = models.JSONField(default=list, blank=True)
    targets = models.JSONField(
        default=list, blank=True, help_text="Integration, resource type, permissions and resources of each"
    )
    approver_policy = models.JSONField(default=dict, blank=True)
    timeframe = models.JSONField(default=dict, blank=True)
    justification_required = models.BooleanField(default=False)
    requester_cannot_approve_self = models.BooleanField(default=False)
    mfa_required = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    updated_by = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return self.name or self.public_id


class AccessRequest(models.Model):
    """What its events say, whatever order they came in; `history` are its events, oldest first."""

    class Status(models.TextChoices):
        PENDING = "pending"
        ACTIVE = "active"
        REJECTED = "rejected"
        REVOKING = "revoking"
        REVOKED = "revoked"
        EXPIRED = "expired"
        FAILED = "failed"

    public_id = models.CharField("access request", max_length=200, unique=True)
    friendly_id = models.CharField(max_length=200, blank=True, default="")
    source = models.ForeignKey(Source, models.PROTECT, related_name="+")
    requester = models.ForeignKey(
        Principal, models.PROTECT, to_field="public_id", db_constraint=False, related_name="access_requests"
    )
    grantee = models.JSONField(default=dict, blank=True)
    flow = models.ForeignKey(
        AccessFlow, models.SET_NULL, to_field="public_id", null=True, blank=True, related_name="requests"
    )
    justification = models.TextField(blank=True, default="")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    requested_at = models.DateTimeField()
    known_at = models.DateTimeField(help_text="Time of the first event that tells of it")
    approved_at = models.DateTimeField(null=True, blank=True)
    rejected_at = models.DateTimeField(null=True, blank=True)
    rejected_by_person = models.BooleanField(default=False)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Rejected, revoked, expired or failed")
    duration_seconds = models.PositiveBigIntegerField(null=True, blank=True)
    units = models.JSONField(
        default=list, blank=True, help_text="Integration, resource, its type and tags, and permission of each"
    )
    approvals = models.JSONField(default=list, blank=True)
    custom_fields = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()), blank=True)
    history = models.JSONField(default=list, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["requester", "requested_at"], name="accessrequest_requester"),
            models.Index(fields=["-requested_at", "-id"], name="accessrequest_newest"),
            models.Index(fields=["status", "-requested_at", "-id"], name="accessrequest_status_newest"),
            models.Index(fields=["flow", "-requested_at", "-id"], name="accessrequest_flow_newest"),
            GinIndex(fields=["units"], opclasses=["jsonb_path_ops"], name="accessrequest_units"),
        ]

    def __str__(self) -> str:
        return self.friendly_id or self.public_id

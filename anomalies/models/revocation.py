"""Access that is being taken back: what was asked of which integration, and what they answered."""

from typing import Self

from django.conf import settings
from django.db import models

from anomalies.models.access import Grant
from anomalies.models.anomaly import Anomaly
from anomalies.models.connection import Connection
from anomalies.models.public_id import new_revocation_call_id, new_revocation_id


class RevocationQuerySet(models.QuerySet["Revocation"]):
    def pending(self) -> Self:
        return self.filter(state=Revocation.State.PENDING)


class Revocation(models.Model):
    """That somebody revokes one grant. It is pending until each of its calls was answered for good."""

    class State(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        REFUSED = "refused"
        SUPERSEDED = "superseded"

    public_id = models.CharField("revocation", max_length=40, unique=True, default=new_revocation_id, editable=False)
    grant = models.ForeignKey(Grant, models.PROTECT, related_name="revocations")
    anomaly = models.ForeignKey(
        Anomaly, models.PROTECT, null=True, blank=True, related_name="+", help_text="From which it was revoked"
    )
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    begun_at = models.DateTimeField()
    begun_by = models.CharField(max_length=200)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    concluded_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, default="", help_text="Why the access stands again")

    objects = RevocationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["grant"], condition=models.Q(state="pending"), name="revocation_pending_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["pending", "done", "refused", "superseded"]),
                name="revocation_state_known",
            ),
            models.CheckConstraint(
                condition=models.Q(state="pending", concluded_at__isnull=True)
                | (~models.Q(state="pending") & models.Q(concluded_at__isnull=False)),
                name="revocation_concluded_has_time",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class RevocationCall(models.Model):
    """What one integration is asked: once, under one id, however often it has to be asked again."""

    class State(models.TextChoices):
        PENDING = "pending"
        ANSWERED = "answered"
        REFUSED = "refused"
        DROPPED = "dropped"

    public_id = models.CharField("call", max_length=40, unique=True, default=new_revocation_call_id, editable=False)
    revocation = models.ForeignKey(Revocation, models.CASCADE, related_name="calls")
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="+")
    integration = models.CharField(max_length=200, blank=True)
    body = models.JSONField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(help_text="Of the next attempt; while one is under way, of the one if it gets lost")
    error = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=["pending", "answered", "refused", "dropped"]),
                name="revocationcall_state_known",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state="pending"), name="revocationcall_due"),
        ]

    def __str__(self) -> str:
        return self.public_id


class RevocationAttempt(models.Model):
    """One try of a call, with what was sent and what came back."""

    call = models.ForeignKey(RevocationCall, models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    outcome = models.CharField(max_length=500)
    exchange = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["call", "id"], name="revocationattempt_call")]

    def __str__(self) -> str:
        return self.outcome

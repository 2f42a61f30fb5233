"""Where others are told about anomalies."""

from typing import Self

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from anomalies.models.anomaly import Severity
from anomalies.models.public_id import new_channel_id


class ChannelQuerySet(models.QuerySet["Channel"]):
    def kept(self) -> Self:
        """Those that nobody deleted. Of the others only what they were called stays, for what they were told."""
        return self.filter(deleted_at__isnull=True)


class Channel(models.Model):
    """One receiver: how it is called, what it is told, and up to which message it was looked at.

    What ends in `_encrypted` is never shown to anybody again.
    """

    public_id = models.CharField("channel", max_length=40, unique=True, default=new_channel_id, editable=False)
    kind = models.CharField(max_length=30, help_text="As notifications/registry.py calls it")
    name = models.CharField(max_length=100)
    enabled = models.BooleanField(default=True)

    method = models.CharField(max_length=6, default="POST")
    url = models.CharField("URL", max_length=2000, blank=True, default="")
    headers_encrypted = models.TextField(blank=True, default="", editable=False)
    auth = models.CharField(max_length=10, default="none")
    token_url = models.CharField("token URL", max_length=2000, blank=True, default="")
    client_id = models.CharField(max_length=500, blank=True, default="")
    scope = models.CharField(max_length=500, blank=True, default="")
    secret_encrypted = models.TextField(blank=True, default="", editable=False)
    signing_secret_encrypted = models.TextField(blank=True, default="", editable=False)
    template = models.TextField(blank=True, default="", help_text="JSON with placeholders")
    timeout_seconds = models.PositiveSmallIntegerField(default=10)
    validators = models.TextField(blank=True, default="", help_text="One a line: $.status = ok, accepted")

    least_severity = models.PositiveSmallIntegerField(choices=Severity, default=Severity.LOW)
    filter = models.CharField(max_length=2000, blank=True, default="", help_text="As the address of the list says it")
    message_types = models.JSONField(default=list, blank=True, help_text="Empty: all")

    cursor_transaction = models.BigIntegerField(help_text="Messages up to this one have been looked at")
    cursor_number = models.BigIntegerField()
    failures = models.PositiveIntegerField(default=0, help_text="Attempts in a row to which nobody answered")
    held_until = models.DateTimeField(null=True, blank=True, help_text="Not called before, after such failures")

    tested_at = models.DateTimeField(null=True, blank=True)
    test_outcome = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=200)
    updated_at = models.DateTimeField(db_default=Now())
    updated_by = models.CharField(max_length=200)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(deleted_at__isnull=True), name="channel_name_unique"
            ),
            models.CheckConstraint(condition=models.Q(least_severity__in=[1, 2, 3]), name="channel_severity_known"),
            models.CheckConstraint(
                condition=models.Q(timeout_seconds__gte=1, timeout_seconds__lte=60), name="channel_timeout_bounded"
            ),
            models.CheckConstraint(
                condition=models.Q(deleted_at__isnull=True) | models.Q(enabled=False), name="channel_deleted_is_off"
            ),
        ]

    def __str__(self) -> str:
        return self.name

"""Where others are told about anomalies."""

from typing import Self

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from anomalies.models.anomaly import Severity
from anomalies.models.public_id import new_channel_id


def each_day() -> list[int]:
    """The weekdays, Monday is 0."""
    return [*range(7)]


class ChannelQuerySet(models.QuerySet["Channel"]):
    def kept(self) -> Self:
        """Those that nobody deleted. Of the others only what they were called stays, for what they were told."""
        return self.filter(deleted_at__isnull=True)


class Channel(models.Model):
    """One receiver: where it is, what it is told, and up to which message it was looked at."""

    class Pace(models.TextChoices):
        AT_ONCE = "at_once", "at once"
        HOURLY = "hourly", "in a digest each hour"
        DAILY = "daily", "in a digest each day"

    public_id = models.CharField("channel", max_length=40, unique=True, default=new_channel_id, editable=False)
    kind = models.CharField(max_length=30, help_text="As notifications/registry.py calls it")
    name = models.CharField(max_length=100)
    enabled = models.BooleanField(default=True)

    settings = models.JSONField(
        default=dict, help_text="By name, as its kind declares them; secrets are not among them"
    )
    secrets_encrypted = models.JSONField(default=dict, editable=False, help_text="By name; shown to nobody again")
    target = models.CharField("goes to", max_length=500, blank=True, default="", help_text="In short")

    least_severity = models.PositiveSmallIntegerField(choices=Severity, default=Severity.LOW)
    filter = models.CharField(max_length=2000, blank=True, default="", help_text="As the address of the list says it")
    message_types = models.JSONField(default=list, blank=True, help_text="Empty: all")

    pace = models.CharField(max_length=10, choices=Pace, default=Pace.AT_ONCE)
    digest_at = models.CharField(max_length=5, default="09:00", help_text="Of a daily digest, in the time zone")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name; of the digest and the quiet hours")
    quiet_from = models.CharField(max_length=5, blank=True, default="", help_text="Empty: no quiet hours")
    quiet_to = models.CharField(max_length=5, blank=True, default="", help_text="Not after its start: of the next day")
    quiet_days = models.JSONField(default=each_day, blank=True, help_text="On which they begin; 0 is Monday")
    urgent_at_once = models.BooleanField(default=False, help_text="High severity waits for nothing")

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
                condition=models.Q(pace__in=["at_once", "hourly", "daily"]), name="channel_pace_known"
            ),
            models.CheckConstraint(
                condition=models.Q(quiet_from="", quiet_to="") | ~(models.Q(quiet_from="") | models.Q(quiet_to="")),
                name="channel_quiet_hours_end",
            ),
            models.CheckConstraint(
                condition=models.Q(deleted_at__isnull=True) | models.Q(enabled=False), name="channel_deleted_is_off"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def timeout_seconds(self) -> int:
        """For how long an answer is waited for."""
        return int(self.settings["timeout_seconds"])

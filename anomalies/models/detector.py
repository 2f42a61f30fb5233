"""What people set about a detector. What a detector is, is in `anomalies.detection.registry`."""

from typing import Self

from django.db import models
from django.db.models.functions import Now

from anomalies.models.access import Agent
from anomalies.models.public_id import new_backtest_id, new_rule_id


class DetectorSettings(models.Model):
    type = models.CharField(max_length=50, unique=True)
    enabled = models.BooleanField(default=True)
    parameters = models.JSONField(default=dict, blank=True, help_text="Only those that differ from the default")
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = verbose_name_plural = "detector settings"

    def __str__(self) -> str:
        return self.type


class DetectorOverride(models.Model):
    """What one agent is judged by instead of a detector's settings."""

    type = models.CharField(max_length=50)
    agent = models.ForeignKey(Agent, models.CASCADE, to_field="public_id", related_name="detector_overrides")
    enabled = models.BooleanField(default=True)
    parameters = models.JSONField(default=dict, blank=True, help_text="Only those that differ from the settings")
    reason = models.TextField(blank=True, default="")
    updated_at = models.DateTimeField(db_default=Now())
    updated_by = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["type", "agent"], name="detectoroverride_unique")]

    def __str__(self) -> str:
        return f"{self.type} of {self.agent_id}"


class RuleQuerySet(models.QuerySet["Rule"]):
    def living(self) -> Self:
        return self.filter(deleted_at__isnull=True)

    def in_force(self) -> Self:
        return self.living().filter(enabled=True)


class Rule(models.Model):
    """A reviewer's own: so many events of such agents with such scopes within a window are an anomaly."""

    public_id = models.CharField("rule", max_length=200, unique=True, default=new_rule_id)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    severity = models.PositiveSmallIntegerField(default=2)
    agents = models.JSONField(default=list, blank=True, help_text="Ids of agents; empty: all of them")
    scopes = models.JSONField(
        default=list, blank=True, help_text="Permissions, actions or scopes of grants; empty: all"
    )
    window_seconds = models.PositiveIntegerField()
    threshold = models.PositiveIntegerField(help_text="Events within the window from which it is an anomaly")
    channels = models.JSONField(default=list, blank=True, help_text="Ids of the channels that are told")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=200, blank=True, default="")
    updated_at = models.DateTimeField(db_default=Now())
    updated_by = models.CharField(max_length=200, blank=True, default="")
    in_force_since = models.DateTimeField(db_default=Now(), help_text="Windows that end before are not judged")
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = RuleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(severity__in=[1, 2, 3]), name="rule_severity_known"),
            models.CheckConstraint(condition=models.Q(threshold__gt=0), name="rule_threshold_positive"),
            models.CheckConstraint(condition=models.Q(window_seconds__gt=0), name="rule_window_positive"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(deleted_at__isnull=True), name="rule_name_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Backtest(models.Model):
    """What a change of a detector would have raised and lost over past days; the present stays as it is."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    public_id = models.CharField("backtest", max_length=40, unique=True, default=new_backtest_id, editable=False)
    type = models.CharField(max_length=50)
    agent = models.ForeignKey(Agent, models.CASCADE, to_field="public_id", null=True, blank=True, related_name="+")
    enabled = models.BooleanField(default=True)
    parameters = models.JSONField(default=dict, blank=True)
    since = models.DateTimeField()
    until = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    done = models.PositiveIntegerField(default=0, help_text="Entities judged so far")
    total = models.PositiveIntegerField(default=0)
    result = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=200)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(until__gt=models.F("since")), name="backtest_ends_after_start"),
        ]

    def __str__(self) -> str:
        return self.public_id

"""What reviewers do not want to be asked about."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models.functions import Now

from anomalies.models.public_id import new_suppression_id


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def in_force(self, *, at: datetime) -> Self:
        """Those that were in force at that time, whatever became of them since."""
        return self.filter(created_at__lte=at).exclude(ended_at__lte=at).exclude(expires_at__lte=at)


class Suppression(models.Model):
    """New anomalies that match all conditions given are kept, searchable, and not up for review."""

    public_id = models.CharField("suppression", max_length=40, unique=True, default=new_suppression_id, editable=False)
    reason = models.TextField()
    owner = models.CharField(max_length=200)
    type = models.CharField(max_length=50, blank=True, default="", help_text="Empty: each type")
    agent_id = models.CharField(max_length=200, blank=True, default="")
    principal_id = models.CharField(max_length=200, blank=True, default="")
    network = models.CharField(max_length=50, blank=True, default="", help_text="An address or a network in CIDR form")
    resource = models.CharField(max_length=1000, blank=True, default="")
    integration = models.CharField(max_length=200, blank=True, default="")
    highest_severity = models.PositiveSmallIntegerField(default=3, help_text="Worse ones are raised all the same")
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=200, blank=True, default="")
    expires_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When somebody ended it")
    ended_by = models.CharField(max_length=200, blank=True, default="")

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~models.Q(reason=""), name="suppression_has_reason"),
            models.CheckConstraint(
                condition=models.Q(highest_severity__in=[1, 2, 3]), name="suppression_severity_known"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

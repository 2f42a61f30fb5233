"""Who did what to an anomaly. Rows are added, never changed: a trigger of the database forbids it."""

from django.conf import settings
from django.db import models

from anomalies.models.anomaly import Anomaly


class ReviewEntry(models.Model):
    class Action(models.TextChoices):
        DETECTED = "detected"
        EXTENDED = "extended"
        ESCALATED = "escalated"
        CLOSED = "closed"
        ACKNOWLEDGED = "acknowledged"
        UNDONE = "undone"
        NOTED = "noted"
        REOPENED = "reopened"
        MERGED = "merged"
        PARTED = "parted"
        WITHDRAWN = "withdrawn"
        SUPPRESSED = "suppressed"
        RESOLVED = "resolved"
        SNOOZED = "snoozed"
        WOKEN = "woken"
        ASSIGNED = "assigned"
        RENAMED = "renamed"

    anomaly = models.ForeignKey(Anomaly, models.PROTECT, related_name="review_entries")
    action = models.CharField(max_length=20, choices=Action)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200, help_text="Name of the user or key; 'detection' for the scan")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="review_entries"
    )
    from_status = models.CharField(max_length=20, blank=True, default="")
    to_status = models.CharField(max_length=20, blank=True, default="")
    note = models.TextField(blank=True, default="")
    changes = models.JSONField(
        default=dict, db_default=models.Value({}, models.JSONField()), help_text="By field: before and after"
    )
    bulk = models.ForeignKey(
        "BulkReview", models.PROTECT, null=True, blank=True, related_name="entries", help_text="That it was part of"
    )
    undoes = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="undone_by", help_text="The entry it takes back"
    )

    class Meta:
        verbose_name_plural = "review entries"
        indexes = [
            models.Index(fields=["anomaly", "id"], name="reviewentry_timeline"),
            # Of what people and keys did: detection writes most of the entries.
            models.Index(fields=["-at", "-id"], condition=~models.Q(actor="detection"), name="reviewentry_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"

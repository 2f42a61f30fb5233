"""Who changed what, beside anomalies. Rows are added, never changed: a trigger of the database forbids it."""

from django.conf import settings
from django.db import models


class Change(models.Model):
    """One change to one thing: a detector's settings, a suppression, an access flow, a request, a connection."""

    at = models.DateTimeField()
    actor = models.CharField(max_length=200, help_text="Name of the user, key or job")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="changes")
    subject_type = models.CharField(max_length=40, help_text="Such as access_flow, access_request, grant, suppression")
    subject_id = models.CharField(max_length=200, help_text="Its public id, or the name by which settings know it")
    subject_name = models.CharField(max_length=200, blank=True, default="", help_text="What it was called then")
    action = models.CharField(max_length=40, help_text="In the past tense, such as changed, created, revoked")
    changes = models.JSONField(default=dict, blank=True, help_text="By field: before and after")
    note = models.TextField(blank=True, default="")

    class Meta:
        permissions = [("read_audit_log", "Can read the audit log")]
        indexes = [
            models.Index(fields=["-at", "-id"], name="change_newest"),
            models.Index(fields=["subject_type", "subject_id", "id"], name="change_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.subject_type} {self.subject_id} {self.action} by {self.actor}"

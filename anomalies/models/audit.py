"""The audit log that Grantex clients write: each entry is chained to the one before it by its hash."""

from django.db import models

from anomalies.models.public_id import new_audit_entry_id


class AuditEntry(models.Model):
    public_id = models.CharField(max_length=40, unique=True, default=new_audit_entry_id, editable=False)
    developer_id = models.CharField(max_length=100)
    agent_id = models.CharField(max_length=200)
    agent_did = models.CharField(max_length=300)
    grant_id = models.CharField(max_length=200)
    principal_id = models.CharField(max_length=200)
    action = models.CharField(max_length=200)
    status = models.CharField(max_length=10)
    metadata = models.JSONField(default=dict)
    timestamp = models.DateTimeField()
    hash = models.CharField(max_length=64, unique=True)
    prev_hash = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001  null: the first entry

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["agent_id", "id"], name="auditentry_agent"),
            models.Index(fields=["principal_id", "id"], name="auditentry_principal"),
            models.Index(fields=["timestamp", "id"], name="auditentry_timestamp"),
        ]

    def __str__(self) -> str:
        return self.public_id

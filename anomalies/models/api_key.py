"""Keys with which machines call."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, *, at: object) -> Self:
        """Keys neither revoked nor expired at that time."""
        return self.filter(revoked_at__isnull=True).exclude(expires_at__lte=at)


class ApiKey(models.Model):
    """A key that is shown once: only its hash is kept."""

    class Scope(models.TextChoices):
        INGEST = "ingest"
        READ = "read"
        REVIEW = "review"

    name = models.CharField(max_length=100, unique=True)
    start = models.CharField(max_length=16, help_text="Its first characters, to tell keys apart")
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=["ingest", "read", "review"]), name="apikey_scopes_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

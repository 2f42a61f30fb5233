"""Keys with which machines call."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, *, at: object) -> Self:
        """Keys neither revoked nor expired at that time."""
        return self.filter(revoked_at__isnull=True).exclude(expires_at__lte=at)

    def called(self, name: str) -> Self:
        """The key of that name that no other has taken the place of: one at most."""
        return self.filter(name=name, replaced_at__isnull=True)


class ApiKey(models.Model):
    """A key that is shown once: only its hash is kept."""

    class Scope(models.TextChoices):
        INGEST = "ingest"
        READ = "read"
        REVIEW = "review"
        ADMIN = "admin"

    name = models.CharField(max_length=100)
    start = models.CharField(max_length=16, help_text="Its first characters, to tell keys apart")
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Calls a minute. Empty: as many as the settings say; 0: without limit"
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    replaces = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, editable=False, related_name="replacement"
    )
    replaced_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when another has its name; it may be valid for longer"
    )
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(replaced_at__isnull=True), name="apikey_name_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=["ingest", "read", "review", "admin"]),
                name="apikey_scopes_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ApiKeyUse(models.Model):
    """How many calls a key made in the minute that runs.

    The table is unlogged: to count a call writes no log and waits for no disk. A crash of the database forgets the
    counts, and nothing else.
    """

    api_key = models.OneToOneField(ApiKey, models.CASCADE, primary_key=True, related_name="+")
    since = models.DateTimeField()
    calls = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.calls} calls of {self.api_key_id}"

"""How another system is told to take back the access that it gave."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now


class Connection(models.Model):
    """The revocation webhook of one integration. `secret_encrypted` is never shown to anybody again."""

    class Method(models.TextChoices):
        POST = "POST"
        PUT = "PUT"
        PATCH = "PATCH"
        DELETE = "DELETE"

    integration = models.CharField(
        max_length=200,
        unique=True,
        blank=True,
        help_text="As events and requests spell it. Empty: access that names no integration, such as agents' grants",
    )
    url = models.CharField("URL", max_length=2000, help_text="Begins with https://")
    method = models.CharField(max_length=6, choices=Method, default=Method.POST)
    headers = models.JSONField(default=dict, blank=True, help_text="By name; a secret has a field of its own")
    secret_encrypted = models.TextField(blank=True, default="", editable=False)
    timeout_seconds = models.PositiveSmallIntegerField(default=10)
    enabled = models.BooleanField(default=True)
    tested_at = models.DateTimeField(null=True, blank=True)
    test_exchange = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    updated_by = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        verbose_name = "integration connection"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(method__in=["POST", "PUT", "PATCH", "DELETE"]), name="connection_method_known"
            ),
            models.CheckConstraint(
                condition=models.Q(timeout_seconds__gte=1, timeout_seconds__lte=60), name="connection_timeout_bounded"
            ),
        ]

    def __str__(self) -> str:
        return self.integration or "access without an integration"

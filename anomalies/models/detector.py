"""What people set about a detector. What a detector is, is in `anomalies.detection.registry`."""

from django.db import models
from django.db.models.functions import Now


class DetectorSettings(models.Model):
    type = models.CharField(max_length=50, unique=True)
    enabled = models.BooleanField(default=True)
    parameters = models.JSONField(default=dict, blank=True, help_text="Only those that differ from the default")
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = verbose_name_plural = "detector settings"

    def __str__(self) -> str:
        return self.type

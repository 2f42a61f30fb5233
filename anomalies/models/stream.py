"""Who listens to the event stream."""

from django.db import models

from anomalies.models.api_key import ApiKey


class StreamLease(models.Model):
    """One open event stream of a key. Whoever serves it renews it; a server that dies lets it run out."""

    api_key = models.ForeignKey(ApiKey, models.CASCADE, related_name="stream_leases")
    renewed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"stream of {self.api_key_id}"

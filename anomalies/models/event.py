"""What was sent in: sources, batches and the events themselves."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from anomalies.models.access import Agent, Principal


class Source(models.Model):
    """Where events come from, and how far they are complete."""

    name = models.CharField(max_length=100, unique=True)
    format = models.CharField(max_length=30)
    watermark = models.DateTimeField(null=True, blank=True, help_text="Time of the newest event received")
    received_at = models.DateTimeField(null=True, blank=True, help_text="When its last batch arrived")
    lag_seconds = models.FloatField(
        default=0, db_default=0, help_text="By how much 99 % of its lately received events were late at most"
    )
    late_events = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="Counted, but too late for their buckets to be judged again"
    )
    # Sums over its batches, which are too many to be added up whenever somebody asks.
    accepted_events = models.PositiveBigIntegerField(default=0, db_default=0)
    duplicate_events = models.PositiveBigIntegerField(default=0, db_default=0)
    rejected_records = models.PositiveBigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class Batch(models.Model):
    """Events stored together: all or none of them. The unit that detection counts exactly once."""

    source = models.ForeignKey(Source, models.PROTECT, related_name="batches")
    received_at = models.DateTimeField(db_default=Now())
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001  null: not unique
    body_sha256 = models.CharField(max_length=64, blank=True)
    accepted = models.PositiveIntegerField(default=0)
    duplicate = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    answer = models.JSONField(null=True, blank=True, help_text="What the sender was told, for a repeated call")
    counted_at = models.DateTimeField(null=True, blank=True)
    first_time = models.DateTimeField(null=True, blank=True, help_text="Time of its earliest event")
    last_time = models.DateTimeField(null=True, blank=True, help_text="Time of its latest event")
    lags = ArrayField(
        models.PositiveIntegerField(),
        null=True,
        blank=True,
        help_text="How many of its events were how late, by class; empty: it tells nothing of its source's delay",
    )

    class Meta:
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(fields=["source", "idempotency_key"], name="batch_idempotency_key_unique"),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(counted_at__isnull=True), name="batch_uncounted"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id}/{self.pk}"


class SourceLag(models.Model):
    """How late the events were that a source sent in one UTC day: sums, so that no order of batches changes them."""

    source = models.ForeignKey(Source, models.CASCADE, db_index=False, related_name="lags")
    day = models.DateField(help_text="When they were received")
    counts = ArrayField(models.PositiveBigIntegerField(), help_text="By class, see services/lags.py")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "day"], name="sourcelag_unique")]

    def __str__(self) -> str:
        return f"{self.source_id} {self.day}"


class Retention(models.Model):
    """What one run of retention dropped."""

    ran_at = models.DateTimeField()
    events_before = models.DateTimeField(null=True, blank=True, help_text="Older events are gone; empty: all are kept")
    days_dropped = models.PositiveIntegerField(default=0)
    days_in_use = models.PositiveIntegerField(default=0, help_text="To be dropped, but somebody was reading: next time")
    events_dropped = models.PositiveBigIntegerField(default=0)
    minutes_before = models.DateTimeField(null=True, blank=True, help_text="Older counts by the minute are gone")
    minute_blocks_dropped = models.PositiveBigIntegerField(default=0)
    five_minutes_before = models.DateTimeField(
        null=True, blank=True, help_text="Older counts by 5 minutes are gone; empty: all are kept"
    )
    five_minute_blocks_dropped = models.PositiveBigIntegerField(default=0, db_default=0)
    sightings_before = models.DateTimeField(
        null=True, blank=True, help_text="Older sightings are gone, but for the first of each user and country"
    )
    sightings_dropped = models.PositiveBigIntegerField(default=0, db_default=0)
    scans_before = models.DateTimeField(
        null=True, blank=True, help_text="Older scans are gone, but for those that anomalies name"
    )
    scans_dropped = models.PositiveBigIntegerField(default=0, db_default=0)
    deliveries_before = models.DateTimeField(
        null=True, blank=True, help_text="Deliveries that came to an end before are gone"
    )
    deliveries_dropped = models.PositiveBigIntegerField(default=0, db_default=0)
    kept_back = models.JSONField(
        default=list, blank=True, help_text="Days whose events were to be dropped, and why they were not"
    )

    class Meta:
        indexes = [models.Index(fields=["events_before"], name="retention_events_before")]

    def __str__(self) -> str:
        return f"{self.ran_at:%Y-%m-%d %H:%M}"


class Event(models.Model):
    """One authorization action of an agent for a principal. Written by COPY, never changed.

    One is known by source, id and time: a sender that repeats one repeats its time, and the same id with another time
    is another event. The table is partitioned by UTC day (services/partitions.py), so that its keys hold the time, and
    neither source nor batch are foreign keys to PostgreSQL: those would lock their tables for every new day.
    """

    class Status(models.TextChoices):
        SUCCESS = "success"
        FAILURE = "failure"
        BLOCKED = "blocked"

    source = models.ForeignKey(Source, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    batch = models.ForeignKey(Batch, models.PROTECT, db_constraint=False, related_name="events")
    external_id = models.CharField(max_length=200)
    time = models.DateTimeField()
    agent = models.ForeignKey(
        Agent, models.PROTECT, to_field="public_id", db_constraint=False, db_index=False, related_name="events"
    )
    principal = models.ForeignKey(
        Principal,
        models.PROTECT,
        to_field="public_id",
        db_constraint=False,
        db_index=False,
        related_name="events",
        null=True,
    )
    action = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status)
    grant_id = models.CharField(max_length=200, blank=True, default="")
    request_id = models.CharField(max_length=200, blank=True, default="")
    resource = models.CharField(max_length=1000, blank=True, default="")
    resource_type = models.CharField(max_length=200, blank=True, default="")
    integration = models.CharField(max_length=200, blank=True, default="")
    permission = models.CharField(max_length=200, blank=True, default="")
    ip = models.GenericIPAddressField("address", null=True)
    country = models.CharField(max_length=2, blank=True, default="")
    city = models.CharField(max_length=200, blank=True, default="")
    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)
    user_agent = models.CharField(max_length=2000, blank=True, default="")
    metadata = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "external_id", "time"], name="event_external_id_unique"),
            models.CheckConstraint(
                condition=models.Q(status__in=["success", "failure", "blocked"]), name="event_status_known"
            ),
        ]
        indexes = [
            models.Index(fields=["agent", "time"], name="event_agent_time"),
            models.Index(fields=["principal", "time"], name="event_principal_time"),
            models.Index(fields=["ip", "time"], name="event_ip_time"),
            models.Index(fields=["request_id"], condition=~models.Q(request_id=""), name="event_request"),
        ]

    def __str__(self) -> str:
        return self.external_id

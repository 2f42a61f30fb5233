"""Counts of events by entity and time: what detection reads instead of the events."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Value

from anomalies.detection.finding import series_name


class Series(models.Model):
    """Counts of one metric for one entity, named as in `what=requests.agent=ag_1.action=token.issue`."""

    class Metric(models.TextChoices):
        REQUESTS = "requests"
        FAILURES = "failures"

    class Kind(models.TextChoices):
        AGENT = "agent"
        PRINCIPAL = "principal"
        ADDRESS = "address"
        TENANT = "tenant"  # everything, under the entity "all"

    metric = models.CharField(max_length=20, choices=Metric)
    kind = models.CharField(max_length=20, choices=Kind)
    entity = models.CharField(max_length=200)
    action = models.CharField(max_length=200, blank=True, default="", db_default="", help_text="Empty: all of them")
    first_time = models.DateTimeField(help_text="Time of its earliest event")
    last_time = models.DateTimeField(help_text="Time of its latest event")
    judged_until = models.DateTimeField(null=True, blank=True, help_text="Detection has looked at all before")
    dirty_from = models.DateTimeField(
        null=True, blank=True, help_text="Earliest time counted since detection last looked"
    )
    source_ids = ArrayField(
        models.BigIntegerField(), default=list, db_default=Value([]), help_text="Sources by which its events came"
    )
    lag_seconds = models.FloatField(
        default=0, db_default=0, help_text="For so long its events were waited for when detection last looked"
    )

    class Meta:
        verbose_name_plural = "series"
        constraints = [
            models.UniqueConstraint(fields=["kind", "entity", "action", "metric"], name="series_unique"),
            models.CheckConstraint(condition=models.Q(metric__in=["requests", "failures"]), name="series_metric_known"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["agent", "principal", "address", "tenant"]), name="series_kind_known"
            ),
            models.CheckConstraint(
                condition=models.Q(action="") | models.Q(kind="agent"), name="series_action_of_agent"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(dirty_from__isnull=False), name="series_dirty"),
            models.Index(fields=["kind", "metric", "last_time"], condition=models.Q(action=""), name="series_lately"),
            models.Index(fields=["entity"], condition=models.Q(action="other actions"), name="series_other_actions"),
        ]

    def __str__(self) -> str:
        return series_name(self.metric, self.kind, self.entity, self.action)


class BucketBlock(models.Model):
    """All buckets of one series and one resolution in one UTC day (of minutes: in one hour), oldest first.

    One row a day, not one a bucket: every row of a resolution has the same length, so that history reaches numpy as
    one binary COPY, and a day's new events cost one update. Days and weeks are sums of hours and not stored.
    """

    pk = models.CompositePrimaryKey("series", "resolution_seconds", "start")
    series = models.ForeignKey(Series, models.CASCADE, db_index=False, related_name="blocks")
    resolution_seconds = models.PositiveIntegerField()
    start = models.DateTimeField()
    counts = ArrayField(models.PositiveIntegerField())

    def __str__(self) -> str:
        return f"{self.series_id} {self.resolution_seconds}s {self.start:%Y-%m-%d %H:%M}"


class Outlook(models.Model):
    """What the days before one UTC day say of a series, kept for the scans of that day."""

    pk = models.CompositePrimaryKey("series", "name")
    series = models.ForeignKey(Series, models.CASCADE, db_index=False, related_name="outlooks")
    name = models.CharField(max_length=32, help_text="Of what is kept, and of the parameters that it is made by")
    day = models.DateField(db_index=True)
    calendar = models.BigIntegerField(help_text="Hash of the time zone, holidays and working hours that it is made by")
    content = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.series_id} {self.name} {self.day}"

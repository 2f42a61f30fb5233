"""One run of detection."""

from datetime import datetime

from django.db import models
from django.utils.functional import cached_property


class Scan(models.Model):
    class Trigger(models.TextChoices):
        SCHEDULE = "schedule"
        API = "api"
        COMMAND = "command"
        REPLAY = "replay"

    trigger = models.CharField(max_length=20, choices=Trigger)
    shares = models.PositiveSmallIntegerField(default=1, help_text="Into which its entities were parted among workers")
    now = models.DateTimeField(help_text="The time as which it ran: the wall clock, or a tick of the history")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    batches_counted = models.PositiveIntegerField(default=0)
    events_counted = models.PositiveBigIntegerField(default=0)
    series_judged = models.PositiveIntegerField(default=0)
    series_failed = models.PositiveIntegerField(default=0, help_text="Left unjudged by an error that was logged")
    series_late = models.PositiveIntegerField(
        default=0, help_text="With events older than the horizon: counted, not judged again"
    )
    findings = models.PositiveIntegerField(default=0)
    findings_told_by_others = models.PositiveIntegerField(
        default=0, help_text="Of addresses and users that are further metrics of another's anomaly: the same cause"
    )
    grants_revoked = models.PositiveIntegerField(default=0, help_text="By the response policy")
    anomalies_raised = models.PositiveIntegerField(default=0)
    anomalies_of_the_past = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Of those raised: had ended long before they could be seen, nobody was told"
    )
    anomalies_extended = models.PositiveIntegerField(default=0)
    anomalies_closed = models.PositiveIntegerField(default=0)
    anomalies_withdrawn = models.PositiveIntegerField(default=0, help_text="Explained by events that came late")
    anomalies_merged = models.PositiveIntegerField(default=0, help_text="Found to have the same cause as another")

    class Meta:
        indexes = [models.Index(fields=["-started_at"], name="scan_started_at")]

    def __str__(self) -> str:
        return f"{self.trigger} {self.now:%Y-%m-%d %H:%M:%S}"

    @cached_property
    def finished_before(self) -> int:
        """Id of the newest scan before it that was finished: what later ones changed is still to be reconciled."""
        before = Scan.objects.filter(id__lt=self.pk, finished_at__isnull=False)
        return int(before.aggregate(newest=models.Max("id", default=0))["newest"])

    @cached_property
    def seen_until(self) -> datetime:
        """Up to when detection had looked before it: the latest time as which a scan before it ran, or its own."""
        before = Scan.objects.filter(id__lt=self.pk, finished_at__isnull=False).aggregate(latest=models.Max("now"))
        return min(before["latest"] or self.now, self.now)


class ScanShare(models.Model):
    """The entities of one kind that one worker judges: those whose hash falls on its number."""

    scan = models.ForeignKey(Scan, models.CASCADE, related_name="parts")
    kind = models.CharField(max_length=20)
    number = models.PositiveSmallIntegerField()
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scan", "kind", "number"], name="scanshare_unique")]

    def __str__(self) -> str:
        return f"{self.scan_id} {self.kind} {self.number}"

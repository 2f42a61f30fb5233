"""A finding kept for review."""

from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Greatest, Now

from anomalies.models.access import Agent, Principal
from anomalies.models.ordering import LAST, SORTED_BY
from anomalies.models.public_id import new_anomaly_id
from anomalies.models.scan import Scan
from anomalies.models.suppression import Suppression

# Shown as the status of those that nobody is asked about, or not now.
SUPPRESSED, WITHDRAWN, SNOOZED = "suppressed", "withdrawn", "snoozed"

DEVIATION = models.Q(merged_into__isnull=True) & ~models.Q(state="withdrawn")
DURATION = models.ExpressionWrapper(models.F("ended_at") - models.F("started_at"), models.DurationField())


class Severity(models.IntegerChoices):
    LOW = 1, "low"
    MEDIUM = 2, "medium"
    HIGH = 3, "high"


class AnomalyQuerySet(models.QuerySet["Anomaly"]):
    def standing(self) -> Self:
        """Those not merged into another."""
        return self.filter(merged_into__isnull=True)

    def deviations(self) -> Self:
        """Those that are a deviation of their own: neither merged into another nor explained by what came late."""
        return self.filter(DEVIATION)

    def called(self, public_id: str) -> "Anomaly | None":
        """Return the anomaly of that id, or the one that it was merged into; None if there is none."""
        found = self.filter(public_id=public_id.replace("\x00", "")).first()
        return self.get(pk=found.merged_into_id) if found and found.merged_into_id else found

    def needs_review(self) -> Self:
        """Those that somebody is asked to decide about now: undecided, neither explained, suppressed nor snoozed."""
        undecided = self.standing().filter(
            status=Anomaly.Status.OPEN, suppression__isnull=True, snoozed_until__isnull=True
        )
        return undecided.exclude(state=Anomaly.State.WITHDRAWN)

    def with_shown_status(self) -> Self:
        """Each with `shown_status`: its status, or `withdrawn`, `suppressed` or `snoozed` where nobody is asked now."""
        undecided = models.Q(status=Anomaly.Status.OPEN)
        withdrawn = models.When(undecided, state=Anomaly.State.WITHDRAWN, then=models.Value(WITHDRAWN))
        suppressed = models.When(undecided, suppression__isnull=False, then=models.Value(SUPPRESSED))
        snoozed = models.When(undecided, snoozed_until__isnull=False, then=models.Value(SNOOZED))
        return self.annotate(shown_status=models.Case(withdrawn, suppressed, snoozed, default=models.F("status")))

    def with_sort_key(self, column: str) -> Self:
        """Each with `sort_key`: what a column of the list is sorted by."""
        return self.annotate(sort_key=SORTED_BY[column])

    def newest_first(self) -> Self:
        return self.order_by("-detected_at", "-id")


class Anomaly(models.Model):
    """What detection found and people decide.

    `state` is the deviation's and written by detection alone; `status` and all below it are the reviewers'.
    """

    class State(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"
        WITHDRAWN = "withdrawn"  # events that came late explain it

    class Deviation(models.TextChoices):
        TRANSIENT = "transient"  # a spike in a stable range
        PATTERN_CHANGE = "pattern_change", "pattern change"  # the range itself moved

    class Status(models.TextChoices):
        OPEN = "open"
        ACKNOWLEDGED = "acknowledged"
        RESOLVED = "resolved"

    class Verdict(models.TextChoices):
        TRUE_POSITIVE = "true_positive", "true positive"
        BENIGN = "benign", "benign (expected)"
        FALSE_POSITIVE = "false_positive", "false positive"
        DUPLICATE = "duplicate", "duplicate"
        TEST = "test", "test"

    # Unique by a constraint: `unique=True` brings a second index, for patterns, which nobody asks for.
    public_id = models.CharField("id", max_length=40, default=new_anomaly_id, editable=False)
    fingerprint = models.CharField(max_length=64, editable=False)
    type = models.CharField(max_length=50)
    severity = models.PositiveSmallIntegerField(choices=Severity)
    score = models.FloatField()
    description = models.TextField()
    title = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="What a reviewer calls it; empty: described"
    )

    kind = models.CharField(max_length=20, help_text="What the entity is: agent, principal or address")
    entity = models.CharField(max_length=200)
    topic = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="What tells anomalies of one type and entity apart",
    )
    agent = models.ForeignKey(
        Agent, models.PROTECT, to_field="public_id", db_index=False, null=True, blank=True, related_name="anomalies"
    )
    principal = models.ForeignKey(
        Principal, models.PROTECT, to_field="public_id", db_index=False, null=True, blank=True, related_name="anomalies"
    )
    ip = models.GenericIPAddressField("address", null=True, blank=True)
    integration = models.CharField(max_length=200, blank=True, default="")
    resource = models.CharField(max_length=1000, blank=True, default="")
    resource_type = models.CharField(max_length=200, blank=True, default="")
    grant_id = models.CharField(
        "grant", max_length=200, blank=True, default="", db_default="", help_text="That all of its events name"
    )

    platforms = ArrayField(
        models.CharField(max_length=200),
        default=list,
        db_default=models.Value([]),
        blank=True,
        help_text="Integrations of its events; where they name none, the sources that sent them",
    )
    countries = ArrayField(
        models.CharField(max_length=2), default=list, db_default=models.Value([]), blank=True, help_text="ISO 3166"
    )
    principal_ids = ArrayField(
        models.CharField(max_length=200),
        default=list,
        db_default=models.Value([]),
        blank=True,
        help_text="Users of its events, those of the most first, 100 at most",
    )
    principal_count = models.PositiveIntegerField(default=0, db_default=0, help_text="How many users its events have")

    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    started_at = models.DateTimeField()
    active_until = models.DateTimeField(help_text="End of its last anomalous bucket so far")
    ended_at = models.DateTimeField(null=True, blank=True)
    detected_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    evidence = models.JSONField()
    resolution_seconds = models.PositiveIntegerField(default=3600, help_text="At which it deviates most")
    deviation = models.CharField(
        max_length=20, choices=Deviation, blank=True, default="", db_default="", help_text="Of a series that is counted"
    )
    told_by = ArrayField(
        models.CharField(max_length=20),
        default=list,
        blank=True,
        editable=False,
        help_text="Kinds of entities whose anomaly of this type may have the same cause",
    )
    explained_by = ArrayField(
        models.CharField(max_length=20), default=list, blank=True, editable=False, help_text="The same, of other types"
    )
    merged_into = models.ForeignKey(
        "self",
        models.PROTECT,
        db_index=False,
        null=True,
        blank=True,
        related_name="merged",
        help_text="The same cause",
    )
    suppression = models.ForeignKey(
        Suppression,
        models.PROTECT,
        db_index=False,
        null=True,
        blank=True,
        related_name="anomalies",
        help_text="Why nobody is asked",
    )
    of_the_past = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="It had ended long before it could be seen: nobody was told",
    )
    scan = models.ForeignKey(Scan, models.PROTECT, related_name="anomalies", help_text="The scan that raised it")
    last_scan = models.ForeignKey(
        Scan, models.PROTECT, null=True, blank=True, related_name="+", help_text="The scan that changed it last"
    )

    status = models.CharField(max_length=20, choices=Status, default=Status.OPEN)
    verdict = models.CharField(max_length=20, choices=Verdict, blank=True, default="")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=200, blank=True, default="")
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=200, blank=True, default="", db_default="")
    reason = models.TextField(blank=True, default="", db_default="", help_text="Why it was resolved so")
    snoozed_until = models.DateTimeField(
        null=True, blank=True, help_text="Nobody is asked until then; emptied when it comes back"
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        db_index=False,
        null=True,
        blank=True,
        related_name="assigned_anomalies",
    )
    created_at = models.DateTimeField(db_default=Now())

    objects = AnomalyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "anomalies"
        permissions = [("review_anomaly", "Can acknowledge, resolve and comment on anomalies")]
        constraints = [
            models.UniqueConstraint(fields=["public_id"], name="anomaly_public_id_unique"),
            models.UniqueConstraint(fields=["fingerprint"], name="anomaly_fingerprint_unique"),
            models.CheckConstraint(condition=models.Q(severity__in=[1, 2, 3]), name="anomaly_severity_known"),
            models.CheckConstraint(condition=models.Q(score__gte=0, score__lte=1), name="anomaly_score_in_unit"),
            models.CheckConstraint(
                condition=models.Q(state="open", ended_at__isnull=True)
                | models.Q(state__in=["closed", "withdrawn"], ended_at__isnull=False),
                name="anomaly_closed_has_end",
            ),
            models.CheckConstraint(
                condition=models.Q(status="open", acknowledged_at__isnull=True, resolved_at__isnull=True)
                | models.Q(status="acknowledged", acknowledged_at__isnull=False, resolved_at__isnull=True)
                | models.Q(status="resolved", resolved_at__isnull=False),
                name="anomaly_status_has_times",
            ),
            models.CheckConstraint(
                condition=models.Q(status="resolved") | models.Q(verdict=""), name="anomaly_verdict_when_resolved"
            ),
            models.CheckConstraint(
                condition=models.Q(status="open") | models.Q(snoozed_until__isnull=True),
                name="anomaly_snoozed_when_open",
            ),
        ]
        indexes = [
            models.Index(fields=["-detected_at", "-id"], name="anomaly_newest"),
            models.Index(fields=["status", "-detected_at", "-id"], name="anomaly_status_newest"),
            models.Index(fields=["-severity", "-detected_at", "-id"], name="anomaly_severity_newest"),
            models.Index(fields=["agent", "-detected_at", "-id"], name="anomaly_agent_newest"),
            models.Index(fields=["principal", "-detected_at", "-id"], name="anomaly_principal_newest"),
            models.Index(fields=["resource_type", "-detected_at", "-id"], name="anomaly_resource_type_newest"),
            models.Index(
                fields=["-severity", "-detected_at", "-id"],
                include=["agent", "principal", "type"],  # by which they are counted, from the index alone
                condition=models.Q(
                    status="open", merged_into__isnull=True, suppression__isnull=True, snoozed_until__isnull=True
                )
                & ~models.Q(state="withdrawn"),
                name="anomaly_to_review",
            ),
            *(
                models.Index(SORTED_BY[column], *LAST, name=f"anomaly_by_{column}")
                for column in ("type", "what", "who", "resource", "integration", "where", "status")
            ),
            GinIndex(fields=["countries"], condition=~models.Q(countries=[]), name="anomaly_countries"),
            models.Index(fields=["kind", "entity", "started_at"], name="anomaly_entity"),
            models.Index(fields=["ip", "started_at"], condition=models.Q(ip__isnull=False), name="anomaly_address"),
            models.Index(fields=["active_until"], name="anomaly_active_until"),
            models.Index(fields=["created_at", "id"], name="anomaly_created_at"),
            models.Index(fields=["id"], condition=models.Q(state="open"), name="anomaly_state_open"),
            models.Index(  # with all that deviations are filtered by: they are counted without reading their rows
                fields=["started_at", "id"],
                condition=DEVIATION,
                include=["state", "ended_at", "resolution_seconds", "score"],
                name="anomaly_started_at",
            ),
            models.Index(fields=["ended_at", "id"], condition=DEVIATION, name="anomaly_ended_at"),
            models.Index(fields=["score", "id"], condition=DEVIATION, name="anomaly_score"),
            models.Index(DURATION, "id", condition=DEVIATION & models.Q(state="closed"), name="anomaly_duration"),
            # Of what few have, those alone: the others' decisions need not be written into them.
            models.Index(
                fields=["merged_into"], condition=models.Q(merged_into__isnull=False), name="anomaly_merged_into"
            ),
            models.Index(
                fields=["suppression"], condition=models.Q(suppression__isnull=False), name="anomaly_suppression"
            ),
            models.Index(
                fields=["assignee", "-detected_at", "-id"],
                condition=models.Q(assignee__isnull=False),
                name="anomaly_assignee_newest",
            ),
            models.Index(
                fields=["snoozed_until"], condition=models.Q(snoozed_until__isnull=False), name="anomaly_snoozed_until"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def field(cls, name: str) -> "models.Field[Any, Any]":
        """Return one of its columns by the name of its field."""
        field = cls._meta.get_field(name)
        assert isinstance(field, models.Field)
        return field


class Metric(models.Model):
    """One series that deviates in an anomaly. Several that do so for one cause are one anomaly."""

    anomaly = models.ForeignKey(Anomaly, models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=500, help_text="Such as what=requests.agent=ag_1.action=token.issue")
    what = models.CharField(max_length=50, help_text="What is counted")
    kind = models.CharField(max_length=20)
    entity = models.CharField(max_length=200)
    action = models.CharField(max_length=200, blank=True, default="")
    type = models.CharField(max_length=50, help_text="Of the finding that it belongs to: not always the anomaly's")
    severity = models.PositiveSmallIntegerField(choices=Severity, help_text="Of the finding that it belongs to")
    score = models.FloatField()
    evidence = models.JSONField(help_text="Its most surprising bucket")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["anomaly", "name"], name="metric_unique"),
            models.CheckConstraint(condition=models.Q(severity__in=[1, 2, 3]), name="metric_severity_known"),
        ]
        indexes = [models.Index(fields=["kind", "entity"], name="metric_entity")]

    def __str__(self) -> str:
        return self.name


DELTA = models.Case(
    models.When(up=True, then=Greatest(models.F("peak") - models.F("upper"), models.Value(0.0))),
    default=Greatest(models.F("lower") - models.F("peak"), models.Value(0.0)),
    output_field=models.FloatField(),
)
DELTA_PERCENT = models.Case(
    models.When(up=True, peak__lte=models.F("upper"), then=models.Value(0.0)),
    models.When(up=True, upper=0, then=models.Value("Infinity")),
    models.When(up=True, then=(models.F("peak") - models.F("upper")) / models.F("upper") * models.Value(100.0)),
    models.When(peak__gte=models.F("lower"), then=models.Value(0.0)),
    models.When(lower=0, then=models.Value("Infinity")),
    default=(models.F("lower") - models.F("peak")) / models.F("lower") * models.Value(100.0),
    output_field=models.FloatField(),
)


class Interval(models.Model):
    """One unbroken run of anomalous buckets of a metric."""

    metric = models.ForeignKey(Metric, models.CASCADE, related_name="intervals")
    resolution_seconds = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(help_text="End of its last anomalous bucket so far")
    state = models.CharField(max_length=10, choices=Anomaly.State, default=Anomaly.State.OPEN)
    peak = models.FloatField(help_text="Largest observed value of a bucket")
    expected = models.FloatField(help_text="Expected value at the peak")
    lower = models.FloatField(default=0, help_text="Lower edge of the expected band at the peak")
    upper = models.FloatField(help_text="Upper edge of the expected band at the peak")
    sum_deltas = models.FloatField(default=0, help_text="Sum of the distances from the band, of all its buckets")
    up = models.BooleanField(default=True, help_text="Above the band, not below it")
    deviation = models.CharField(max_length=20, choices=Anomaly.Deviation, default=Anomaly.Deviation.TRANSIENT)
    score = models.FloatField()
    main = models.BooleanField(
        default=True, db_default=True, help_text="At the resolution at which its metric deviates most"
    )
    delta = models.GeneratedField(
        expression=DELTA, output_field=models.FloatField(), db_persist=True, help_text="From its peak to its band"
    )
    delta_percent = models.GeneratedField(
        expression=DELTA_PERCENT,
        output_field=models.FloatField(),
        db_persist=True,
        help_text="Of the edge of the band; infinite where that is 0",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["metric", "resolution_seconds", "started_at"], name="interval_start_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(ended_at__gt=models.F("started_at")), name="interval_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {self.resolution_seconds}s"


class Breach(models.Model):
    """How far an anomaly's series were outside their bands at most: what it is sorted and found by.

    As absolute numbers and in percent of the edge of the band; null where none was on that side.
    """

    anomaly = models.OneToOneField(Anomaly, models.CASCADE, primary_key=True)
    above = models.FloatField(null=True)
    above_percent = models.FloatField(null=True)
    below = models.FloatField(null=True)
    below_percent = models.FloatField(null=True)
    delta = models.GeneratedField(
        expression=Greatest("above", "below"), output_field=models.FloatField(), db_persist=True
    )
    delta_percent = models.GeneratedField(
        expression=Greatest("above_percent", "below_percent"), output_field=models.FloatField(), db_persist=True
    )

    class Meta:
        verbose_name_plural = "breaches"
        indexes = [
            models.Index(fields=["delta", "anomaly"], name="breach_delta"),
            models.Index(fields=["delta_percent", "anomaly"], name="breach_delta_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.anomaly_id}"

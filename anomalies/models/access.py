"""Who acts, for whom, and with which standing permission."""

from datetime import datetime
from typing import Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now

from anomalies.models.public_id import new_agent_id, new_grant_id


class Agent(models.Model):
    """An AI agent, service or app that acts. Events name it by `public_id`, whoever chose that name."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        REVOKED = "revoked"

    public_id = models.CharField("agent", max_length=200, unique=True, default=new_agent_id)
    name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    group = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="Agents of one kind, such as one framework or job: a newcomer is expected to do what its group does",
    )
    scopes = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.ACTIVE)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name; working hours are in this zone")
    working_hours = models.JSONField(
        null=True,
        blank=True,
        help_text='Hours by weekday, {"0": [9, 17], ...}, 0 is Monday, 17 is the first hour off. Empty: learned.',
    )
    holidays = models.JSONField(default=list, blank=True, help_text='Dates without work, ["2026-12-25", ...]')
    registered_at = models.DateTimeField(null=True, blank=True, help_text="Empty: known from its events only")
    registered_by = models.CharField(max_length=200, blank=True, default="", db_default="")
    deleted_at = models.DateTimeField(null=True, blank=True)
    first_seen = models.DateTimeField(null=True, blank=True)
    last_seen = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    updated_by = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended", "revoked"]), name="agent_status_known"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def did(self) -> str:
        """The agent's decentralized identifier, as Grantex clients expect one."""
        return f"did:grantex:{self.public_id}"


class Principal(models.Model):
    """A user for whom agents act."""

    public_id = models.CharField("principal", max_length=200, unique=True)
    name = models.CharField(max_length=200, blank=True)
    email = models.CharField(max_length=254, blank=True)
    first_seen = models.DateTimeField(null=True, blank=True)
    last_seen = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.public_id


class AgentPrincipal(models.Model):
    """That an agent has acted for a principal, since when and until when."""

    agent = models.ForeignKey(
        Agent, models.CASCADE, to_field="public_id", db_constraint=False, db_index=False, related_name="+"
    )
    principal = models.ForeignKey(
        Principal, models.CASCADE, to_field="public_id", db_constraint=False, related_name="+"
    )
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "principal"], name="agentprincipal_unique")]
        indexes = [models.Index(fields=["agent", "first_seen"], name="agentprincipal_first_seen")]

    def __str__(self) -> str:
        return f"{self.agent_id} for {self.principal_id}"


class GrantQuerySet(models.QuerySet["Grant"]):
    def active(self) -> Self:
        return self.filter(status=Grant.Status.ACTIVE)

    def run_out(self, *, at: object) -> Self:
        """Agents' grants that still count as active, and whose end has come.

        Not those of access requests: until somebody says that such access ended, it stands past its planned end.
        """
        return self.active().filter(request__isnull=True, expires_at__lte=at)

    def with_status(self, status: str, *, at: object) -> Self:
        """Those of which `status_at` says that."""
        run_out = models.Q(pk__in=self.run_out(at=at).values("pk"))
        if status == Grant.Status.EXPIRED:
            return self.filter(models.Q(status=status) | run_out)
        return self.filter(status=status).exclude(run_out)


class Grant(models.Model):
    """A standing permission: of an agent for a principal, or of a principal whose access request was granted.

    The principal of a request's grant is who asked; its request says who got it, where that is another.
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        REVOKED = "revoked"
        EXPIRED = "expired"

    public_id = models.CharField("grant", max_length=200, unique=True, default=new_grant_id)
    agent = models.ForeignKey(Agent, models.PROTECT, to_field="public_id", related_name="grants", null=True, blank=True)
    principal = models.ForeignKey(
        Principal, models.PROTECT, to_field="public_id", related_name="grants", null=True, blank=True
    )
    request = models.OneToOneField(
        "AccessRequest",
        models.PROTECT,
        to_field="public_id",
        related_name="grant",
        null=True,
        blank=True,
        help_text="That gave it; empty: known by the events that name it",
    )
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="delegated",
        help_text="Of which it is a part that its agent gave to this one; it ends with it",
    )
    delegation_depth = models.PositiveSmallIntegerField(default=0, db_default=0)
    scopes = models.JSONField(default=list, blank=True)
    units = models.JSONField(
        default=list, blank=True, help_text="Integration, resource, its type and tags, and permission of each"
    )
    status = models.CharField(max_length=20, choices=Status, default=Status.ACTIVE)
    issued_at = models.DateTimeField(db_default=Now())
    issued_by = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="Empty: elsewhere, as far as events tell"
    )
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="As planned, or when it did; empty: it has no planned end"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.CharField(max_length=200, blank=True)
    ended_by_event = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="Id of the event that revoked or expired it"
    )

    objects = GrantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "revoked", "expired"]), name="grant_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status="revoked", revoked_at__isnull=False)
                | (~models.Q(status="revoked") & models.Q(revoked_at__isnull=True)),
                name="grant_revoked_has_time",
            ),
            models.CheckConstraint(
                condition=models.Q(agent__isnull=False, request__isnull=True)
                | models.Q(agent__isnull=True, request__isnull=False),
                name="grant_of_agent_or_request",
            ),
            models.CheckConstraint(
                condition=models.Q(parent__isnull=True, delegation_depth=0)
                | models.Q(parent__isnull=False, delegation_depth__gt=0),
                name="grant_delegated_has_depth",
            ),
        ]
        indexes = [
            GinIndex(fields=["scopes"], name="grant_scopes"),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(status="active", request__isnull=True, expires_at__isnull=False),
                name="grant_expires_at",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def agent_acts(self) -> bool:
        """Whether its agent, if it has one, is neither suspended nor deleted."""
        agent = self.agent
        return agent is None or (agent.status == Agent.Status.ACTIVE and agent.deleted_at is None)

    def status_at(self, at: datetime) -> str:
        """Its status, where the clock that ends agents' grants may not have come to it yet."""
        if self.status == Grant.Status.ACTIVE and self.request_id is None and self.expires_at and self.expires_at <= at:
            return Grant.Status.EXPIRED
        return self.status


class ResponsePolicy(models.Model):
    """What detection does, unasked, to an agent with a new rate spike. One row."""

    class Mode(models.TextChoices):
        ALERT_ONLY = "alert_only"
        REVOKE_AGENT_GRANTS = "revoke_agent_grants"

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    mode = models.CharField(max_length=30, choices=Mode, default=Mode.ALERT_ONLY)
    updated_at = models.DateTimeField(db_default=Now())
    updated_by = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "response policy"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="responsepolicy_one_row"),
            models.CheckConstraint(
                condition=models.Q(mode__in=["alert_only", "revoke_agent_grants"]), name="responsepolicy_mode_known"
            ),
        ]

    def __str__(self) -> str:
        return self.get_mode_display()

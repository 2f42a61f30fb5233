"""Agents, their grants, and what is done unasked to an agent with a new rate spike."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from anomalies.detection.registry import DETECTORS
from anomalies.models import Agent, Anomaly, Grant, ResponsePolicy, Revocation, Scan
from anomalies.services import reviews, revocations
from anomalies.services.actor import Actor

ANSWERED = tuple(type_ for type_, detector in DETECTORS.items() if detector.answered)
GRANTS_IN_NOTE = 20  # a note names so many; the grants themselves say who revoked them and when


class AccessError(Exception):
    """A change that cannot be made; its text is for the person who asked."""


class AgentGoneError(AccessError):
    def __init__(self, agent: Agent) -> None:
        super().__init__(f"The agent {agent.public_id} is deleted.")


class GrantNotActiveError(AccessError):
    def __init__(self, grant: Grant) -> None:
        super().__init__(f"The grant {grant.public_id} is already {grant.status}.")


class UnknownModeError(AccessError):
    def __init__(self) -> None:
        super().__init__(f"mode: one of {', '.join(ResponsePolicy.Mode.values)}.")


def register_agent(
    *,
    name: str,
    by: Actor,
    at: datetime,
    description: str = "",
    scopes: Sequence[str] = (),
    status: str = Agent.Status.ACTIVE,
) -> Agent:
    """Make an agent with an id of our own and return it."""
    return Agent.objects.create(
        name=name,
        description=description,
        scopes=list(scopes),
        status=status,
        registered_at=at,
        registered_by=by.name,
        created_at=at,
        updated_at=at,
        updated_by=by.name,
    )


def update_agent(
    agent: Agent,
    *,
    by: Actor,
    at: datetime,
    name: str | None = None,
    description: str | None = None,
    group: str | None = None,
    scopes: Sequence[str] | None = None,
    status: str | None = None,
) -> None:
    """Change what is given and leave the rest. Raises AgentGoneError if it was deleted."""
    given = {"name": name, "description": description, "group": group, "scopes": scopes, "status": status}
    changes = {field: value for field, value in given.items() if value is not None}
    changed = Agent.objects.filter(pk=agent.pk, deleted_at__isnull=True).update(
        **changes, updated_at=at, updated_by=by.name
    )
    if not changed:
        raise AgentGoneError(agent)
    agent.refresh_from_db()


def delete_agent(agent: Agent, *, by: Actor, at: datetime) -> None:
    """Take the agent off the list; its events, anomalies and grants stay. Raises AgentGoneError if it was deleted."""
    changed = Agent.objects.filter(pk=agent.pk, deleted_at__isnull=True).update(
        deleted_at=at, updated_at=at, updated_by=by.name
    )
    if not changed:
        raise AgentGoneError(agent)
    agent.refresh_from_db()


def revoke_grant(grant: Grant, *, by: Actor, at: datetime, anomaly: Anomaly | None = None) -> Revocation:
    """End an active grant, and with it the access request that gave it, and return how far that is.

    Raises GrantNotActiveError if it had ended, and revocations.AlreadyRevokingError while somebody else's goes on.
    """
    try:
        revocation = revocations.begin(grant, by=by, at=at, anomaly=anomaly)
    except revocations.NotStandingError as error:
        grant.refresh_from_db()
        raise GrantNotActiveError(grant) from error
    grant.refresh_from_db()
    return revocation


def response_mode() -> str:
    """What detection does to an agent with a new rate spike; alert_only until somebody chose otherwise."""
    return ResponsePolicy.objects.values_list("mode", flat=True).first() or ResponsePolicy.Mode.ALERT_ONLY


def set_response_mode(mode: str, *, by: Actor, at: datetime) -> None:
    """Choose it. Raises UnknownModeError."""
    if mode not in ResponsePolicy.Mode.values:
        raise UnknownModeError
    ResponsePolicy.objects.update_or_create(pk=1, defaults={"mode": mode, "updated_at": at, "updated_by": by.name})


@transaction.atomic
def respond(scan: Scan, *, no_longer_past: Collection[int] = (), by: Actor, at: datetime) -> int:
    """Do what the response policy asks about the rate spikes that this scan raised and nobody suppressed.

    And about those that were of the past when they were raised and turn out to go on, by their ids. Returns how many
    grants were revoked: none under alert_only. A second call finds nothing left to revoke.
    """
    if response_mode() != ResponsePolicy.Mode.REVOKE_AGENT_GRANTS:
        return 0
    spikes = Anomaly.objects.filter(
        Q(scan=scan) | Q(pk__in=no_longer_past),
        type__in=ANSWERED, kind="agent", suppression__isnull=True, of_the_past=False,
    )  # fmt: skip
    return sum(_revoke_grants_of(spike, by=by, at=at) for spike in spikes.order_by("id"))


def _revoke_grants_of(spike: Anomaly, *, by: Actor, at: datetime) -> int:
    grants = Grant.objects.active().filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=at), agent__public_id=spike.entity
    )
    # From each grant down to its parts, and none locked before its turn: no two that revoke wait in a ring.
    standing = list(grants.order_by("delegation_depth", "id"))
    begun = [revocations.begin_unless_pending(grant, by=by, at=at) for grant in standing]
    ended = Grant.objects.filter(
        pk__in=[one.pk for one in standing], status=Grant.Status.REVOKED, revoked_at=at, revoked_by=by.name
    )
    pending = {one.grant_id for one in begun if one and one.state == Revocation.State.PENDING}
    ids = list(
        Grant.objects.filter(Q(pk__in=pending) | Q(pk__in=ended)).order_by("id").values_list("public_id", flat=True)
    )
    waiting = len(pending)
    if ids:
        named = ", ".join(ids[:GRANTS_IN_NOTE]) + (
            f" and {len(ids) - GRANTS_IN_NOTE} more" * (len(ids) > GRANTS_IN_NOTE)
        )
        waits = f" {waiting} of them stand until their integrations answer." if waiting else ""
        reviews.add_note(
            spike,
            by=by,
            at=at,
            note=f"Response policy revoke_agent_grants: revoked {len(ids)} of its grants: {named}.{waits}",
        )
    return len(ids)

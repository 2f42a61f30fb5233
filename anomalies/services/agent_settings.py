"""What reviewers set about an agent on its page: its group, its clock and when it works."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from anomalies.models import Agent
from anomalies.services import access, changes, working_hours
from anomalies.services.actor import Actor

FIELDS = ("group", "time_zone", "working_hours", "holidays")


class ChangedSinceError(access.AccessError):
    """Somebody else changed it after it was shown."""

    def __init__(self, agent: Agent) -> None:
        by = f" by {agent.updated_by}" if agent.updated_by else ""
        super().__init__(f"{agent.public_id} was changed{by} since you opened this page. Nothing was saved.")


@transaction.atomic
def settle(
    agent: Agent,
    *,
    group: str,
    time_zone: str,
    working_hours_by_day: Mapping[str, Sequence[int]] | None,
    holidays: Sequence[str],
    seen_at: datetime | None,
    by: Actor,
    at: datetime,
) -> None:
    """Set them all, or none of them. `seen_at` is when the agent had last changed as the one who asks saw it.

    Raises ChangedSinceError, WorkingHoursError or AgentGoneError.
    """
    stored = Agent.objects.select_for_update().get(pk=agent.pk)
    if stored.deleted_at is None and stored.updated_at != seen_at:
        raise ChangedSinceError(stored)
    before = {name: getattr(stored, name) for name in FIELDS}
    access.update_agent(agent, group=group, by=by, at=at)
    working_hours.change(
        agent, time_zone=time_zone, working_hours=working_hours_by_day, holidays=holidays, by=by, at=at
    )
    after = {name: getattr(agent, name) for name in FIELDS}
    if changed := changes.between(before, after):
        changes.record("agent", agent.public_id, "changed", by=by, at=at, name=agent.name, changes=changed)

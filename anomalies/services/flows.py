"""Access flows as people change them: who may ask for what, for how long, and who approves."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from anomalies.models import AccessFlow, Change
from anomalies.services import changes
from anomalies.services.actor import Actor

FIELDS = (
    "name",
    "description",
    "active",
    "grant_duration_seconds",
    "requestors",
    "targets",
    "approver_policy",
    "timeframe",
    "justification_required",
    "requester_cannot_approve_self",
    "mfa_required",
)


class StaleError(Exception):
    """Somebody changed the flow since the form was made; `change` says who and what."""

    def __init__(self, flow: AccessFlow, change: Change | None) -> None:
        fields = ", ".join(name.replace("_", " ") for name in change.changes) if change else "it"
        super().__init__(f"{flow.updated_by or 'Somebody'} changed {fields} since you opened this form.")
        self.flow, self.change = flow, change


@transaction.atomic
def change(flow: AccessFlow, wanted: Mapping[str, Any], *, seen_at: datetime, by: Actor, at: datetime) -> bool:
    """Change the fields that are given, and say whether any differed. Raises StaleError if it is not as it was seen.

    Events do not take that back: all they ever say of a flow is a name, where it has none.
    """
    row = AccessFlow.objects.select_for_update().get(pk=flow.pk)
    if row.updated_at != seen_at:
        last = Change.objects.filter(subject_type="access_flow", subject_id=row.public_id).order_by("-id").first()
        raise StaleError(row, last)
    before = {name: getattr(row, name) for name in FIELDS}
    told = changes.between(before, {name: wanted[name] for name in FIELDS if name in wanted})
    if not told:
        return False
    for name, (_, value) in told.items():
        setattr(row, name, value)
    # Never the same twice: two changes in one moment must not look like one.
    row.updated_at, row.updated_by = max(at, row.updated_at + changes.MOMENT), by.name
    row.save(update_fields=[*told, "updated_at", "updated_by"])
    changes.record("access_flow", row.public_id, "changed", by=by, at=at, name=str(row), changes=told)
    return True


def history_of(flow: AccessFlow, *, most: int) -> list[Change]:
    """Return what people changed of it, the last first."""
    rows = Change.objects.filter(subject_type="access_flow", subject_id=flow.public_id)
    return list(rows.order_by("-id")[:most])

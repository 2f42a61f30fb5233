"""The audit trail of what people change beside anomalies: each service that changes something records it here."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from anomalies.models import Change
from anomalies.services.actor import Actor

MOMENT = timedelta(microseconds=1)  # the shortest time that the database knows
NAME_LENGTH = 200  # of what it was called; the id says which it is


def record(
    subject_type: str,
    subject_id: str,
    action: str,
    *,
    by: Actor,
    at: datetime,
    name: str = "",
    changes: Mapping[str, Any] | None = None,
    note: str = "",
) -> Change:
    """Write who did what to which thing, in the transaction of what was done. Raises outside of one.

    `changes` are by field `[before, after]`, as `between` gives them. No secret belongs into them.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("record() belongs into the transaction that makes it true")
    return Change.objects.create(
        subject_type=subject_type,
        subject_id=subject_id,
        subject_name=name[:NAME_LENGTH],
        action=action,
        actor=by.name,
        user=by.user,
        at=at,
        changes=dict(changes or {}),
        note=note,
    )


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return for each field of `after` that differs its values before and after."""
    return {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}

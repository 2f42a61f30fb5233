"""Grants that access requests gave, as the histories of the requests tell of them; and those whose time is over."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from anomalies.models import AccessRequest, Grant
from anomalies.models.public_id import grant_id_of

ENDS = {"revoked": Grant.Status.REVOKED, "expired": Grant.Status.EXPIRED}


def gather(requests: Sequence[AccessRequest]) -> None:
    """Bring the grants of these requests up to date with their histories, in the transaction that writes those.

    A request that was granted has one grant, made anew from its history each time: the order in which that came to be
    known makes no difference. It stands from when access was granted until it was revoked or expired after that:

    - what ends before it began ends nothing; without a word of being granted there is no grant to end;
    - granted again while it stands, it goes on, for what and until when was said last;
    - granted again after its end, it stands anew from then on;
    - what failed or was rejected after it was granted was not taken back, as far as anybody says.
    """
    columns = [field.name for field in Grant._meta.concrete_fields if field.name not in ("id", "public_id")]
    Grant.objects.bulk_create(
        sorted(filter(None, map(_grant, requests)), key=lambda grant: grant.public_id),
        update_conflicts=True,
        unique_fields=["public_id"],
        update_fields=columns,
    )


def expire(*, at: datetime) -> int:
    """End agents' grants whose end has come, and return how many. A second call finds none."""
    return Grant.objects.run_out(at=at).update(status=Grant.Status.EXPIRED)


def _grant(request: AccessRequest) -> Grant | None:
    """Return the grant that a request gave, as its history tells; None if it gave none."""
    grant: Grant | None = None
    for entry in request.history:
        time = datetime.fromisoformat(entry["time"])
        if entry["type"] == "granted":
            if grant is None or grant.status != Grant.Status.ACTIVE:
                grant = Grant(
                    public_id=grant_id_of(request.public_id),
                    request=request,
                    principal_id=request.requester_id,
                    issued_at=time,
                )
            grant.units = entry.get("units") or request.units
            grant.scopes = list(dict.fromkeys(unit["permission"] for unit in grant.units if unit["permission"]))
            grant.expires_at = _planned_end(entry, request, time)
        elif grant and grant.status == Grant.Status.ACTIVE and entry["type"] in ENDS:
            grant.status, grant.ended_by_event = ENDS[entry["type"]], entry.get("event", "")
            if grant.status == Grant.Status.REVOKED:
                grant.revoked_at, grant.revoked_by = time, entry["actor"]
            else:
                grant.expires_at = time
    return grant


def _planned_end(granted: dict[str, Any], request: AccessRequest, time: datetime) -> datetime | None:
    if granted.get("until"):
        return datetime.fromisoformat(granted["until"])
    try:
        return time + timedelta(seconds=request.duration_seconds) if request.duration_seconds else None
    except OverflowError:
        return None  # no time that there is

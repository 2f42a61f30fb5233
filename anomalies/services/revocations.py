"""Access taken back: asked of the integrations that give it, until each has answered."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from anomalies.models import (
    AccessRequest,
    Anomaly,
    Connection,
    Grant,
    Revocation,
    RevocationAttempt,
    RevocationCall,
)
from anomalies.notifications.http import Exchange
from anomalies.services import access_requests, changes, connections, reviews
from anomalies.services.actor import Actor
from anomalies.services.deciding import lock

FIRST_PAUSE = timedelta(seconds=10)  # before the second attempt; each further one is twice as long
LONGEST_PAUSE = timedelta(hours=1)
TRIED_FOR = timedelta(days=1)
LEASE = timedelta(seconds=30)  # beyond the time an attempt may take; then it is lost, with the worker that made it
OUTCOME_LENGTH = 500
REVOCATION = Actor(name="revocation")  # of what the answers of integrations bring about


class RevocationError(Exception):
    """A revocation that cannot begin; its text is for the person who asked."""


class NotStandingError(RevocationError):
    def __init__(self, grant: Grant, at: datetime) -> None:
        super().__init__(f"The grant {grant.public_id} gives no access: it is {grant.status_at(at)}.")


class AlreadyRevokingError(RevocationError):
    def __init__(self, revocation: Revocation) -> None:
        super().__init__(f"It is being revoked already, since {revocation.begun_by} asked for that.")
        self.revocation = revocation


@transaction.atomic
def begin(grant: Grant, *, by: Actor, at: datetime, anomaly: Anomaly | None = None, because: str = "") -> Revocation:
    """Revoke a grant, and with it the access request that gave it, and return how far that is.

    At once where none of its integrations has a connection; else the access stands, and its request is `revoking`,
    until all of those have answered. When it ends, what was delegated of it is revoked in the same way. Raises
    NotStandingError and AlreadyRevokingError.
    """
    row, request = _locked(grant, anomaly)
    if row.status_at(at) != Grant.Status.ACTIVE:
        raise NotStandingError(row, at)
    pending = Revocation.objects.pending().filter(grant=row).first()
    if pending and _goes_on(row, request):
        raise AlreadyRevokingError(pending)
    if pending:  # events ended that access, and gave it anew
        _close(pending, Revocation.State.SUPERSEDED, at=at)
    asked = {one.integration: one for one in connections.asked_for(row)}
    revocation = Revocation.objects.create(grant=row, anomaly=anomaly, begun_at=at, begun_by=by.name, user=by.user)
    if asked:
        _ask(revocation, row, request, asked, by=by, at=at)
    if request and asked:
        access_requests.begin_to_revoke(
            request, by=by, at=at, note=f"Waiting for {', '.join(map(str, asked.values()))}."
        )
    elif not asked:
        _end(row, request, by=by, at=at)
        _close(revocation, Revocation.State.DONE, at=at)
    waits = f"it stands until {_listed(asked)} answered" if asked else "no integration of it has a connection to ask"
    _tell(revocation, row, request, "revoking" if asked else "revoked", because + waits, by=by, at=at)
    return revocation


def begin_unless_pending(grant: Grant, *, by: Actor, at: datetime, because: str = "") -> Revocation | None:
    """Revoke a grant that stands, or return None where somebody is at it already."""
    try:
        return begin(grant, by=by, at=at, because=because)
    except RevocationError:
        return None


def call_due(*, clock: Callable[[], datetime], until: datetime) -> int:
    """Make the calls that are due, one after the other, until none is or it is that late; return how many.

    Several may do so at once. Who dies while calling leaves a call that is made again, under the same id.
    """
    made = 0
    while clock() < until and (call := _claim(clock())):
        _call(call, clock=clock)
        made += 1
    return made


def last_of(grant: Grant) -> Revocation | None:
    """Return the revocation that was begun last, with its calls; None if there is none."""
    return Revocation.objects.filter(grant=grant).prefetch_related("calls").order_by("-id").first()


def under_way(grants: Sequence[Grant]) -> set[int]:
    """Return which of these grants, with their requests, are being revoked: they stand until all have answered."""
    active = {grant.pk: grant for grant in grants if grant.status == Grant.Status.ACTIVE}
    pending = Revocation.objects.pending().filter(grant__in=active).values_list("grant_id", flat=True) if active else ()
    return {pk for pk in pending if _goes_on(active[pk], active[pk].request)}


def _locked(grant: Grant, anomaly: Anomaly | None) -> tuple[Grant, AccessRequest | None]:
    """Lock a grant's request, if it has one, and then the grant: in the order in which events are gathered.

    And before both the anomaly on whose timeline it will stand: in the order in which detection revokes.
    """
    if anomaly:
        list(lock([anomaly.pk]).values_list("pk"))
    request = AccessRequest.objects.select_for_update().filter(grant__pk=grant.pk).first()
    return Grant.objects.select_for_update().get(pk=grant.pk), request


def _goes_on(grant: Grant, request: AccessRequest | None) -> bool:
    """Whether what is being revoked still stands, as it did then."""
    if request:
        return request.status == AccessRequest.Status.REVOKING
    return grant.status == Grant.Status.ACTIVE


def _end(grant: Grant, request: AccessRequest | None, *, by: Actor, at: datetime, note: str = "") -> None:
    if request:
        access_requests.revoke(request, by=by, at=at, note=note)
    else:
        Grant.objects.active().filter(pk=grant.pk).update(
            status=Grant.Status.REVOKED, revoked_at=at, revoked_by=by.name
        )
        # From the grant down to its parts, each after that of which it is one: no two that revoke wait in a ring.
        for part in grant.delegated.active().order_by("id"):
            begin_unless_pending(part, by=by, at=at, because=f"it was delegated from {grant}, which is revoked; ")


def _ask(
    revocation: Revocation,
    grant: Grant,
    request: AccessRequest | None,
    asked: Mapping[str, Connection],
    *,
    by: Actor,
    at: datetime,
) -> None:
    for integration, connection in sorted(asked.items()):
        call = RevocationCall(revocation=revocation, connection=connection, integration=integration, due_at=at)
        call.body = {
            "type": "access.revoke",
            "id": call.public_id,
            "integration": integration,
            "request_id": request.public_id if request else "",
            "request_name": str(request) if request else "",
            "grant_id": grant.public_id,
            "agent_id": grant.agent_id or "",
            "principal_id": grant.principal_id or "",
            "grantee": request.grantee if request else {},
            "scopes": grant.scopes,
            "units": [unit for unit in grant.units if access_requests.integration_of(unit) == integration],
            "actor": by.name,
            "time": at.isoformat(),
        }
        call.save()


@transaction.atomic
def _claim(at: datetime) -> RevocationCall | None:
    """Return a call that is due, and let nobody else make it until its time is over."""
    due = RevocationCall.objects.filter(state=RevocationCall.State.PENDING, due_at__lte=at).order_by("due_at", "id")
    call = due.select_for_update(skip_locked=True).first()
    if call:
        longest = timedelta(seconds=call.connection.timeout_seconds)
        call.attempts, call.due_at = call.attempts + 1, at + longest + LEASE
        call.save(update_fields=["attempts", "due_at"])
    return call


def _call(call: RevocationCall, *, clock: Callable[[], datetime]) -> None:
    revocation = Revocation.objects.select_related("grant__request").get(pk=call.revocation_id)
    if revocation.state != Revocation.State.PENDING or not _goes_on(revocation.grant, revocation.grant.request):
        _settle(call, clock())
        return
    connection = call.connection
    if not connection.enabled:
        exchange = Exchange("", "", {}, "", 0, error="the connection is switched off", final=True)
    else:
        exchange = connections.call(connection, call.body, idempotency_id=call.public_id)
    _settle(call, clock(), exchange)


@transaction.atomic
def _settle(call: RevocationCall, at: datetime, exchange: Exchange | None = None) -> None:
    """Keep what came of a call, and end the revocation if that was the last answer it waited for."""
    begun = Revocation.objects.select_related("grant", "anomaly").get(pk=call.revocation_id)
    grant, request = _locked(begun.grant, begun.anomaly)
    revocation = Revocation.objects.select_for_update().get(pk=call.revocation_id)
    row = RevocationCall.objects.select_for_update().get(pk=call.pk)
    if exchange:
        RevocationAttempt.objects.create(
            call=row, at=at, outcome=exchange.outcome[:OUTCOME_LENGTH], exchange=exchange.as_json()
        )
    if revocation.state != Revocation.State.PENDING:
        row.state = RevocationCall.State.DROPPED if row.state == RevocationCall.State.PENDING else row.state
        row.save(update_fields=["state"])
        return
    if not _goes_on(grant, request):
        _close(revocation, Revocation.State.SUPERSEDED, at=at)
        return
    if exchange and row.state == RevocationCall.State.PENDING:
        _answered(row, exchange, begun_at=revocation.begun_at, at=at)
    calls = list(revocation.calls.order_by("id"))
    if not any(one.state == RevocationCall.State.PENDING for one in calls):
        _finish(revocation, grant, request, calls, at=at)


def _answered(call: RevocationCall, exchange: Exchange, *, begun_at: datetime, at: datetime) -> None:
    if exchange.ok:
        call.state, call.error = RevocationCall.State.ANSWERED, ""
    elif exchange.refused or at >= begun_at + TRIED_FOR:
        call.state, call.error = RevocationCall.State.REFUSED, exchange.outcome
        if not exchange.refused:
            call.error = f"given up after {call.attempts} attempts in a day, the last one: {exchange.outcome}"
    else:
        call.error = exchange.outcome
        call.due_at = min(at + _pause(call.attempts, exchange), max(begun_at + TRIED_FOR, at + FIRST_PAUSE))
    call.save(update_fields=["state", "error", "due_at"])


def _pause(attempts: int, exchange: Exchange) -> timedelta:
    """Return for how long to leave it alone: longer each time, and not all calls of one outage at once."""
    doubled: timedelta = FIRST_PAUSE * int(2 ** min(attempts - 1, 20))
    pause = min(doubled, LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311  no secret
    return max(pause, min(timedelta(seconds=exchange.retry_after_seconds), LONGEST_PAUSE))


def _finish(
    revocation: Revocation,
    grant: Grant,
    request: AccessRequest | None,
    calls: Sequence[RevocationCall],
    *,
    at: datetime,
) -> None:
    begun_by = Actor(name=revocation.begun_by, user=revocation.user)
    refused = [call for call in calls if call.state == RevocationCall.State.REFUSED]
    if refused:
        revocation.error = "; ".join(f"{_name(call.integration)}: {call.error}" for call in refused)
        if request:
            access_requests.keep_standing(request, by=REVOCATION, at=at, note=revocation.error)
        _close(revocation, Revocation.State.REFUSED, at=at)
        _tell(revocation, grant, request, "revocation refused", revocation.error, by=REVOCATION, at=at)
    else:
        answered = f"{_listed([call.integration for call in calls])} answered"
        _end(grant, request, by=begun_by, at=at, note=f"{answered}.")
        _close(revocation, Revocation.State.DONE, at=at)
        _tell(revocation, grant, request, "revoked", answered, by=begun_by, at=at)


def _close(revocation: Revocation, state: Revocation.State, *, at: datetime) -> None:
    revocation.state, revocation.concluded_at = state, at
    revocation.save(update_fields=["state", "concluded_at", "error"])
    revocation.calls.filter(state=RevocationCall.State.PENDING).update(state=RevocationCall.State.DROPPED)


def _tell(
    revocation: Revocation,
    grant: Grant,
    request: AccessRequest | None,
    action: str,
    note: str,
    *,
    by: Actor,
    at: datetime,
) -> None:
    """Write it into the audit trail, and onto the timeline of the anomaly from which it was revoked."""
    about = ("access_request", request.public_id) if request else ("grant", grant.public_id)
    name = str(request or grant)
    changes.record(*about, action, by=by, at=at, name=name, note=note)
    if revocation.anomaly:
        what = f"the access of request {name}" if request else f"grant {name}"
        reviews.add_note(revocation.anomaly, by=by, at=at, note=f"{action.capitalize()} {what}: {note}.")


def _name(integration: str) -> str:
    return integration or "access without an integration"


def _listed(integrations: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(_name(one) for one in sorted(integrations))

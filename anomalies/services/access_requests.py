"""Access requests: gathered from their events as batches are counted, and told to detectors."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Q
from numpy.typing import NDArray

from anomalies.detection import request as detection
from anomalies.detection import wording
from anomalies.detection.lateness import LATE_SECONDS
from anomalies.ingest.access_request import AccessRequestRecord, Approval, Requester, Unit
from anomalies.ingest.record import FieldError
from anomalies.models import AccessFlow, AccessRequest, Grant, Principal
from anomalies.services import grants
from anomalies.services.actor import Actor
from anomalies.services.locks import Lock

PREFIX = "access_request."  # of the actions of request events; the rest is the type
TYPES = ("created", "approved", "rejected", "granted", "failed", "revoked", "expired")  # in order, at one time
ENDS = {
    "rejected": AccessRequest.Status.REJECTED,
    "failed": AccessRequest.Status.FAILED,
    "revoked": AccessRequest.Status.REVOKED,
    "expired": AccessRequest.Status.EXPIRED,
}
_OF_THE_FIRST = (  # event that says it
    "source_id", "requester_id", "requested_at", "known_at", "friendly_id", "grantee", "flow_id", "justification",
    "duration_seconds", "units", "custom_fields",
)  # fmt: skip
# What only people's entries say: that access is being taken back, and that this was refused.
REVOKING, REVOCATION_REFUSED = "revoking", "revocation_refused"
_RANKS = {type_: rank for rank, type_ in enumerate((*TYPES[:5], REVOKING, REVOCATION_REFUSED, *TYPES[5:]))}
_ACTIONS = [PREFIX + type_ for type_ in TYPES]
LONGEST_SECONDS = 1e12  # that an access may last, as when it is read
AT_ONCE = 2000  # requests gathered in one step: bounds memory

_NEW = """
SELECT DISTINCT request_id FROM anomalies_event
WHERE batch_id = ANY(%(ids)s) AND time >= %(first)s::timestamptz AND time <= %(last)s::timestamptz
  AND request_id <> '' AND action = ANY(%(actions)s) AND principal_id IS NOT NULL
ORDER BY request_id
"""

# Between times that are the same for all of them: that lets the planner leave out the partitions of other days.
_TOLD = """
SELECT request_id, action, time, external_id, source_id, principal_id,
       integration, resource, resource_type, permission, metadata::text
FROM anomalies_event
WHERE request_id <> '' AND request_id = ANY(%(requests)s) AND action = ANY(%(actions)s)
  AND principal_id IS NOT NULL AND time >= %(first)s::timestamptz AND time <= %(last)s::timestamptz
"""

# By whatever event that is a deed of theirs: what becomes of a request is not. Between times as above.
_ACTIVE = """
SELECT asked.id, (
    SELECT extract(epoch FROM time)::float8 FROM anomalies_event e
    WHERE e.principal_id = asked.principal AND e.time < asked.time AND e.time >= asked.time - %(back)s
      AND e.time >= %(first)s AND e.time < %(last)s AND e.action <> ALL(%(actions)s)
    ORDER BY time DESC LIMIT 1)
FROM unnest(%(ids)s::text[], %(principals)s::text[], %(times)s::timestamptz[]) AS asked (id, principal, time)
"""
SESSION_SECONDS = 3600  # who comes back is judged by the requests of one hour, from the first
PAUSE_SECONDS = 86400  # the shortest that may make somebody inactive
ACTIVE_DAYS = (7, 60, 400)  # as far back as it is looked for who was seen last when: further for whoever was not

_TIMES = """
SELECT requester_id, array_agg(extract(epoch FROM known_at)::float8 ORDER BY known_at)
FROM anomalies_accessrequest WHERE requester_id = ANY(%s) AND known_at < %s GROUP BY requester_id
"""


class NotActiveError(Exception):
    """Access that cannot be revoked, as the request gives none."""

    def __init__(self, request: AccessRequest) -> None:
        super().__init__(f"The access request {request} gives no access: it is {request.status}.")


@dataclass(frozen=True, slots=True)
class _Told:
    """One event of a request, and the request as it was then."""

    request_id: str
    type: str
    time: datetime
    external_id: str
    source_id: int
    principal_id: str
    record: AccessRequestRecord
    unreadable: str  # why the details are missing, if they could not be read

    @property
    def order(self) -> tuple[datetime, int, str, int]:
        return self.time, _RANKS[self.type], self.external_id, self.source_id


def fold(cursor: CursorWrapper, chosen: Mapping[str, Any]) -> None:
    """Bring the requests of which these batches tell up to date, in the transaction that counts the batches.

    `chosen` are the batches' ids and the times between which their events lie. A request is made anew from all its
    events that are stored, by time: their order, batching and repetition make no difference. An id names one request,
    whichever sources tell of it, as the ids of agents and grants do: a webhook and an export of the same system are to
    agree. What its requester, flow, units, justification and duration are is what the first event says that says it.
    Its grant comes with it.
    """
    cursor.execute(_NEW, {**chosen, "actions": _ACTIONS})
    ids = [request_id for (request_id,) in cursor.fetchall()]
    if not ids:
        return
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [Lock.ACCESS_REQUESTS])
    columns = [field.name for field in AccessRequest._meta.concrete_fields if field.name not in ("id", "public_id")]
    for first in range(0, len(ids), AT_ONCE):
        some = ids[first : first + AT_ONCE]
        # Locked: a person may be about to revoke one.
        rows = AccessRequest.objects.select_for_update().filter(public_id__in=some).order_by("public_id")
        known = {row.public_id: row for row in rows}
        told = _told(
            cursor,
            some,
            first=min([chosen["first"], *(row.known_at for row in known.values())]),
            last=max([chosen["last"], *(row.updated_at for row in known.values())]),
        )
        _name(told.values())
        gathered = [_row(events, known.get(request_id)) for request_id, events in sorted(told.items())]
        AccessRequest.objects.bulk_create(
            gathered, update_conflicts=True, unique_fields=["public_id"], update_fields=columns
        )
        grants.gather(gathered)


@transaction.atomic
def revoke(request: AccessRequest, *, by: Actor, at: datetime, note: str = "") -> None:
    """End the access that a request gave, and note in its history who did. Raises NotActiveError if it gives none.

    What events tell of it later does not take that back, unless access is granted anew after it.
    """
    _decide(request, "revoked", by=by, at=at, note=note)


def begin_to_revoke(request: AccessRequest, *, by: Actor, at: datetime, note: str = "") -> None:
    """Note that its access is being taken back; it stands until then. Raises NotActiveError if it gives none.

    Over with `revoke` or `keep_standing`, or as soon as an event tells that the access ended.
    """
    _decide(request, REVOKING, by=by, at=at, note=note)


def keep_standing(request: AccessRequest, *, by: Actor, at: datetime, note: str) -> None:
    """Note that its access could not be taken back, and why. Raises NotActiveError if it gives none any more."""
    _decide(request, REVOCATION_REFUSED, by=by, at=at, note=note)


@transaction.atomic
def _decide(request: AccessRequest, type_: str, *, by: Actor, at: datetime, note: str) -> None:
    row = AccessRequest.objects.select_for_update().get(pk=request.pk)
    if not Grant.objects.active().filter(request=row).exists():
        raise NotActiveError(row)
    # After all that is known of it, whatever the clock of its source says.
    last = row.history[-1]
    time = max(at, _time(last["time"]))
    if last.get("decided") and time == _time(last["time"]):
        time += timedelta(microseconds=1)  # what people did stays in the order in which they did it
    entry = {"type": type_, "time": time.isoformat(), "actor": by.name, "note": note, "by_person": True}
    row.history = [*row.history, {**entry, "decided": True}]
    _conclude(row)
    row.save(update_fields=["history", "status", "ended_at"])
    grants.gather([row])


def facts(principals: Iterable[str], *, since: datetime, until: datetime) -> dict[str, detection.Requester]:
    """Return what detectors may know at `until` of those who ever asked for access, to judge what happened `since`."""
    wanted = sorted(principals)
    times = _times(wanted, until)
    if not times:
        return {}
    lately = since - timedelta(days=detection.RECENT_DAYS, seconds=LATE_SECONDS)
    rows = AccessRequest.objects.filter(
        Q(requested_at__gte=lately)
        | Q(approved_at__gte=since)
        | Q(rejected_by_person=True, rejected_at__gte=since - timedelta(days=detection.REJECTED_DAYS)),
        requester__in=list(times),
    )
    requests: dict[str, list[detection.AccessRequest]] = defaultdict(list)
    for row in _as_of(rows, until):
        requests[row.requester_id].append(_seen(row))
    active = _active(requests, times, since)
    seen = Principal.objects.filter(public_id__in=list(times), first_seen__isnull=False)
    first_seen = {who.public_id: who.first_seen.timestamp() for who in seen if who.first_seen}
    return {
        principal: detection.Requester(
            first_seen=first_seen.get(principal, float(known[0])),
            times=known,
            requests=sorted(
                (replace(one, active_at=active.get(one.id)) for one in requests[principal]),
                key=lambda one: (one.time, one.id),
            ),
        )
        for principal, known in times.items()
    }


def times_of(requester: str, *, since: datetime, until: datetime, group: tuple[str, str] | None = None) -> list[float]:
    """Return when a user asked for access in [since, until), to one integration and resource type, or to any."""
    asked = AccessRequest.objects.filter(requester__in=[requester], requested_at__gte=since, requested_at__lt=until)
    return [
        at.timestamp()
        for at, units in asked.order_by("requested_at").values_list("requested_at", "units")
        if group is None or any(_unit(unit).group == group for unit in units)
    ]


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to a request, when, and by whom where that is known."""

    type: str  # of TYPES, or revoking, or revocation_refused
    at: datetime
    actor: str
    note: str


def history_of(request: AccessRequest) -> list[Entry]:
    """Return what happened to a request, oldest first."""
    return [Entry(entry["type"], _time(entry["time"]), entry["actor"], entry["note"]) for entry in request.history]


def asked_for(request: AccessRequest) -> str:
    """Return in a few words what a request is for, such as `read on orders and 2 more`."""
    return listed(request.units) if request.units else "nothing named"


def integration_of(unit: Mapping[str, Any]) -> str:
    """Return the integration of one unit as people call it; empty where it names none."""
    return _unit(unit).integration


def listed(units: Sequence[Mapping[str, Any]]) -> str:
    """Return in a few words the access of some units, of which there is one at least."""
    return wording.listing([str(_unit(unit)) for unit in units], most=1)


def _told(cursor: CursorWrapper, ids: Sequence[str], *, first: datetime, last: datetime) -> dict[str, list[_Told]]:
    """Return the events of these requests from one time to another, both included, each request's in order."""
    cursor.execute(_TOLD, {"requests": list(ids), "actions": _ACTIONS, "first": first, "last": last})
    told: dict[str, list[_Told]] = defaultdict(list)
    for request_id, action, time, external_id, source_id, principal_id, *columns, metadata in cursor.fetchall():
        record, unreadable = _record(request_id, principal_id, columns, msgspec.json.decode(metadata))
        event = _Told(
            request_id,
            action.removeprefix(PREFIX),
            time.astimezone(UTC),
            external_id,
            source_id,
            principal_id,
            record,
            unreadable,
        )
        told[request_id].append(event)
    for events in told.values():
        events.sort(key=lambda event: event.order)
    return told


def _record(
    request_id: str, principal_id: str, columns: Sequence[str], metadata: Mapping[str, Any]
) -> tuple[AccessRequestRecord, str]:
    """Return the record in an event's metadata, or else what its columns tell, and why if it cannot be read."""
    unreadable = ""
    try:
        if record := AccessRequestRecord.from_metadata(metadata):
            return record, ""
    except FieldError as error:
        unreadable = str(error)
    integration, resource, resource_type, permission = columns
    unit = Unit(integration=integration, resource=resource, resource_type=resource_type, permission=permission)
    requester = Requester(id=principal_id)
    units = [unit] if any(columns) else []
    return AccessRequestRecord(id=request_id, requester=requester, units=units), unreadable


def _row(events: Sequence[_Told], known: AccessRequest | None) -> AccessRequest:
    """Return the request as its events tell it, and where the first of them are gone by now, as they told it."""
    first = events[0]
    records = [event.record for event in events]
    before = known.history if known else []
    earlier = [entry for entry in before if _time(entry["time"]) < first.time]
    decided = [entry for entry in before if entry.get("decided") and entry not in earlier]
    entries = [*earlier, *_history(events), *decided]
    history = sorted(entries, key=lambda entry: (_time(entry["time"]), _RANKS[entry["type"]]))
    row = AccessRequest(
        public_id=first.request_id,
        friendly_id=_fitting("friendly_id", _first(record.friendly_id for record in records)),
        source_id=first.source_id,
        requester_id=first.principal_id,
        grantee=_said(next((record.grantee for record in records if _said(record.grantee)), None)),
        flow_id=_flow_id(events),
        justification=_first(record.justification for record in records),
        requested_at=_requested_at(events),
        known_at=first.time,
        duration_seconds=next(filter(None, map(_duration, records)), None),
        units=next((msgspec.to_builtins(record.units) for record in records if record.units), []),
        approvals=next((msgspec.to_builtins(record.approvals) for record in reversed(records) if record.approvals), []),
        custom_fields=next((record.custom_fields for record in records if record.custom_fields), {}),
        history=history,
        updated_at=events[-1].time,
    )
    if known and earlier:
        for name in _OF_THE_FIRST:
            setattr(row, name, getattr(known, name) or getattr(row, name))
        row.approvals = row.approvals or known.approvals
    _conclude(row)
    return row


def _conclude(row: AccessRequest) -> None:
    """Set what follows from the history: the status is what its last entry makes of it.

    While its access is being taken back that is what it says, until that was refused or the access ended.
    """
    granted = stands = revoking = False
    for entry in row.history:
        type_, time = entry["type"], _time(entry["time"])
        if type_ in (REVOKING, REVOCATION_REFUSED):
            revoking = type_ == REVOKING and stands
            continue
        if type_ in grants.ENDS:
            stands = revoking = False
        granted = granted or type_ == "granted"
        stands = stands or type_ == "granted"
        if type_ in ENDS:
            row.status, row.ended_at = ENDS[type_], time
        else:
            row.status = AccessRequest.Status.ACTIVE if granted else AccessRequest.Status.PENDING
            row.ended_at = None
        if type_ == "approved":
            row.approved_at = time
        if type_ == "rejected":
            row.rejected_at, row.rejected_by_person = time, entry["by_person"]
    if revoking:
        row.status, row.ended_at = AccessRequest.Status.REVOKING, None


def _history(events: Sequence[_Told]) -> list[dict[str, Any]]:
    """Return an entry for each event; what two sources tell of one type and time is one."""
    entries: dict[tuple[str, datetime], dict[str, Any]] = {}
    for event in events:
        who, by_person = _actor(event)
        note = event.unreadable or (event.record.justification if event.type == "created" else "")
        entry = {
            "type": event.type,
            "time": event.time.isoformat(),
            "actor": who,
            "note": note,
            "by_person": by_person,
            "event": event.external_id,
        }
        if event.type == "granted":
            until = _planned_end(event)
            entry["until"] = until and until.isoformat()
            entry["units"] = msgspec.to_builtins(event.record.units)
        entries.setdefault((event.type, event.time), entry)
    return list(entries.values())


def _actor(event: _Told) -> tuple[str, bool]:
    """Return who did it, as far as the event tells, and whether it was a person."""
    if event.type == "created":
        asked = event.record.requester
        return asked.name or asked.email or event.principal_id, True
    if event.type not in ("approved", "rejected"):
        return "", False
    decided = [one for one in event.record.approvals if one.status.casefold().startswith(event.type[:6])]
    if not decided and len(event.record.approvals) == 1 and not event.record.approvals[0].status:
        decided = list(event.record.approvals)
    decided.sort(key=lambda one: not one.manual)  # a person, if there is one
    return (_approver(decided[0]), decided[0].manual) if decided else ("", False)


def _approver(approval: Approval) -> str:
    return approval.approver_name or approval.approver_email or approval.approver_id or approval.name


def _requested_at(events: Sequence[_Told]) -> datetime:
    """Return when it was made: the time of its creation, or what the others say, but none after they tell of it."""
    if created := next((event for event in events if event.type == "created"), None):
        return created.time
    said = next(filter(None, (_moment(event.record.requested_at) for event in events)), events[0].time)
    return min(said, events[0].time)


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None  # no time that there is


def _planned_end(granted: _Told) -> datetime | None:
    """Return until when access was granted, as far as the event says: the end that is planned, or how long it lasts."""
    planned = _moment(granted.record.revoked_at)
    if planned and planned > granted.time:
        return planned
    seconds = _duration(granted.record)
    return _moment(granted.time.timestamp() + seconds) if seconds else None


def _duration(record: AccessRequestRecord) -> int | None:
    seconds = record.duration_seconds
    return round(seconds) if seconds is not None and 0 <= seconds < LONGEST_SECONDS else None


def _flow_id(events: Iterable[_Told]) -> str | None:
    named = (event.record.flow.id for event in events if event.record.flow and event.record.flow.id)
    flow_id = next(named, None)
    return flow_id if flow_id is not None and len(flow_id) <= _longest(AccessFlow, "public_id") else None


def _name(told: Iterable[Sequence[_Told]]) -> None:
    """Make the access flows that are named, and give names to principals and flows that have none."""
    flows: dict[str, str] = {}
    people: dict[str, Requester] = {}
    for events in told:
        flow_id = _flow_id(events)
        for event in events:
            people.setdefault(event.principal_id, event.record.requester)
            if event.record.flow and event.record.flow.id == flow_id:
                flows[flow_id] = flows.get(flow_id) or event.record.flow.name
    AccessFlow.objects.bulk_create(
        (
            AccessFlow(public_id=public_id, name=_cut(name, AccessFlow, "name"))
            for public_id, name in sorted(flows.items())
        ),
        ignore_conflicts=True,
    )
    for flow in AccessFlow.objects.filter(public_id__in=flows, name="").order_by("public_id"):
        if flows[flow.public_id]:
            AccessFlow.objects.filter(pk=flow.pk, name="").update(name=_cut(flows[flow.public_id], AccessFlow, "name"))
    for who in Principal.objects.filter(Q(name="") | Q(email=""), public_id__in=people).order_by("public_id"):
        said = people[who.public_id]
        if (said.name and not who.name) or (said.email and not who.email):
            Principal.objects.filter(pk=who.pk).update(
                name=who.name or _cut(said.name, Principal, "name"),
                email=who.email or _cut(said.email, Principal, "email"),
            )


def _as_of(rows: Iterable[AccessRequest], until: datetime) -> Iterator[AccessRequest]:
    """Yield requests as they were at that time: those of which later events tell are gathered once more."""
    later = {}
    for row in rows:
        if row.updated_at < until:
            yield row
        else:
            later[row.public_id] = row
    if later:
        with connection.cursor() as cursor:
            first = min(row.known_at for row in later.values())
            told = _told(cursor, sorted(later), first=first, last=until - timedelta(microseconds=1))
        for request_id, events in sorted(told.items()):
            yield _row(events, later[request_id])


def _seen(row: AccessRequest) -> detection.AccessRequest:
    """Return a request as detectors see it: approved when it was granted, where nothing tells of its approval."""
    decisions = [
        detection.Decision(
            _time(entry["time"]).timestamp(), entry["type"] == "approved", entry["actor"], entry["by_person"]
        )
        for entry in row.history
        if entry["type"] in ("approved", "rejected")
    ]
    if not any(decision.approved for decision in decisions):
        granted = [_time(entry["time"]).timestamp() for entry in row.history if entry["type"] == "granted"]
        decisions += [detection.Decision(time, approved=True) for time in granted[:1]]
    return detection.AccessRequest(
        id=row.public_id,
        name=row.friendly_id or row.public_id,
        time=row.requested_at.timestamp(),
        known_at=row.known_at.timestamp(),
        units=tuple(_unit(unit) for unit in row.units),
        flow=row.flow_id or "",
        decisions=tuple(sorted(decisions, key=lambda decision: decision.time)),
    )


def _unit(unit: Mapping[str, Any]) -> detection.Unit:
    return detection.Unit(
        integration=unit["integration"] or unit["integration_id"] or unit["integration_type"],
        resource=unit["resource"] or unit["resource_path"] or unit["resource_id"],
        resource_type=unit["resource_type"],
        permission=unit["permission"],
        tags=tuple(unit["tags"]),
        resource_id=unit["resource_id"] or unit["resource_path"],
    )


def _times(principals: Sequence[str], until: datetime) -> dict[str, NDArray[np.float64]]:
    with connection.cursor() as cursor:
        cursor.execute(_TIMES, [list(principals), until])
        return {principal: np.array(times, dtype=np.float64) for principal, times in cursor.fetchall()}


def _active(
    requests: Mapping[str, Sequence[detection.AccessRequest]],
    times: Mapping[str, NDArray[np.float64]],
    since: datetime,
) -> dict[str, float]:
    """Return when their requesters had been seen last before requests that are to be judged and come after a pause."""
    asked = [
        (one.id, principal, datetime.fromtimestamp(one.time, UTC))
        for principal, some in requests.items()
        for one in some
        if one.in_time
        and one.known_at >= since.timestamp() - SESSION_SECONDS
        and not ((times[principal] < one.time) & (times[principal] >= one.time - PAUSE_SECONDS)).any()
    ]
    active: dict[str, float] = {}
    for days in ACTIVE_DAYS:
        asked = [one for one in asked if one[0] not in active]
        if asked:
            active |= _last_deeds(asked, timedelta(days=days))
    return active


def _last_deeds(asked: Sequence[tuple[str, str, datetime]], back: timedelta) -> dict[str, float]:
    """Return of each id the time at which its principal had been seen last, no further back before its time."""
    ids, principals, times = map(list, zip(*asked, strict=True))
    parameters: dict[str, Any] = {
        "ids": ids,
        "principals": principals,
        "times": times,
        "back": back,
        "first": min(times) - back,
        "last": max(times),
        "actions": _ACTIONS[1:],
    }
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVE, parameters)
        return {id_: time for id_, time in cursor.fetchall() if time is not None}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


def _said(struct: msgspec.Struct | None) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in msgspec.to_builtins(struct or {}).items() if value}


def _longest(model: type[Any], field: str) -> int:
    return int(model._meta.get_field(field).max_length)


def _cut(text: str, model: type[Any], field: str) -> str:
    """Return a name that fits its column; what is left out shows as an ellipsis."""
    longest = _longest(model, field)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _fitting(field: str, text: str) -> str:
    return _cut(text, AccessRequest, field)

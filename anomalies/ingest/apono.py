"""Apono: the request events of its webhook, one JSON object a call; also one a line, or an array of them.

Each is one event, for the requester, of agent `<source>:apono`: just `apono` without a source, or from one so named.
AccessRequestRejected is "blocked", AccessRequestFailed a "failure", all others are a "success". Apono gives its events
no id: the same type, request and time are the same event, however often it is delivered.

An event names one resource, permission and integration: those of its first access unit. All units, approvals and the
rest are in its metadata, as `AccessRequestRecord` says. The record of a later event does not need those before it.

Source: Apono's documentation of request webhooks; `resource.tags` (texts, or an object of them) is our addition.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from typing import Any, Self

import msgspec

from anomalies.ingest.access_request import AccessRequestRecord, Approval, Flow, Grantee, Requester, Unit
from anomalies.ingest.fields import as_spelt, check_metadata, event_record
from anomalies.ingest.json_records import json_records, object_with
from anomalies.ingest.record import EventRecord, FieldError, ReadOptions, Rejection
from anomalies.ingest.times import parsed_time
from anomalies.ingest.wording import shown

NEEDED = ("event_type", "event_time", "data")
ACTIONS = {
    "AccessRequestCreated": "access_request.created",
    "AccessRequestApproved": "access_request.approved",
    "AccessRequestRejected": "access_request.rejected",
    "AccessRequestGranted": "access_request.granted",
    "AccessRequestExpired": "access_request.expired",
    "AccessRequestRevoked": "access_request.revoked",
    "AccessRequestFailed": "access_request.failed",
}
STATUSES = {"AccessRequestRejected": "blocked", "AccessRequestFailed": "failure"}
THEIRS = {
    "principal_id": "data.requester",
    "request_id": "data.id",
    "agent_id": "source",
    "resource": "data.access_groups: resource",
    "resource_type": "data.access_groups: resource type",
    "integration": "data.access_groups: integration",
    "permission": "data.access_groups: permission",
    "metadata": "data",
}
AHEAD = timedelta(days=36_525)  # a planned revocation may lie in the future, by a century at most
MAX_SECONDS = 10**10  # some 300 years


def read(stream: BufferedReader, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield an event or a rejection for each request event. Raises SourceError where the stream breaks off."""
    for place, text in json_records(stream):
        if isinstance(text, Rejection):
            yield text
            continue
        try:
            yield _record(_Object(object_with(text, *NEEDED)), options)
        except FieldError as error:
            yield place.rejection(error)


def by_person(kind: str, *, approver_id: str, approver_email: str) -> bool:
    """Return whether an approval or rejection is manual: its approver is a person.

    That is one with an e-mail address or an id, unless the approval's type says that no person decides: `policy`,
    `system`, or anything that begins with `auto`, whatever the case.
    """
    kind = kind.strip().casefold()
    return bool(approver_id or approver_email) and kind not in ("policy", "system") and not kind.startswith("auto")


@dataclass(frozen=True, slots=True)
class _Object:
    """An object of the event that knows where it stands, so that what is wrong in it can be named."""

    fields: dict[str, Any]
    path: str = ""

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def text(self, name: str) -> str:
        """Return the text, a number as one, "" if there is none. Raises FieldError."""
        value = self.fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return shown(value)
        if value is not None and not isinstance(value, str):
            raise FieldError(f"{self.at(name)}: {shown(value)} is not a text.")
        return value or ""

    def required_text(self, name: str) -> str:
        text = self.text(name)
        if not text.strip():
            raise FieldError(f"{self.at(name)}: it is missing.")
        return text

    def inner(self, name: str) -> Self:
        """Return the object, an empty one if there is none. Raises FieldError."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, dict):
            raise FieldError(f"{self.at(name)}: {shown(value)} is not an object.")
        return type(self)(value or {}, self.at(name))

    def each(self, name: str) -> Iterator[Self]:
        """Yield the objects of the list, none if there is no list. Raises FieldError."""
        listed = self.fields.get(name)
        if listed is not None and not isinstance(listed, list):
            raise FieldError(f"{self.at(name)}: {shown(listed)} is not a list.")
        for number, value in enumerate(listed or ()):
            at = f"{self.at(name)}[{number}]"
            if not isinstance(value, dict):
                raise FieldError(f"{at}: {shown(value)} is not an object.")
            yield type(self)(value, at)


def _record(event: _Object, options: ReadOptions) -> EventRecord:
    kind = event.required_text("event_type")
    if kind not in ACTIONS:
        raise FieldError(f"event_type: {shown(kind)} is none of {', '.join(ACTIONS)}.")
    if event.fields.get("event_time") in (None, ""):
        raise FieldError("event_time: no time is given.")
    time = parsed_time(event.fields["event_time"], options, field="event_time")
    if not event.fields.get("data"):
        raise FieldError("data: it is missing.")
    request = _request(event.inner("data"), options)
    unit = request.units[0] if request.units else Unit()
    try:
        return event_record(
            {
                "id": event.text("id") or _id(kind, request.id, time),
                "time": time,
                "agent_id": f"{options.source}:apono" if options.source not in ("", "apono") else "apono",
                "principal_id": request.requester.email or request.requester.id,
                "action": ACTIONS[kind],
                "status": STATUSES.get(kind, "success"),
                "request_id": request.id,
                "resource": unit.resource,
                "resource_type": unit.resource_type,
                "integration": unit.integration,
                "permission": unit.permission,
                "metadata": request.to_metadata(),
            },
            options,
        )
    except FieldError as error:
        raise as_spelt(error, THEIRS) from None


def _id(kind: str, request_id: str, time: datetime) -> str:
    told = msgspec.json.encode([kind, request_id, time.astimezone(UTC)])
    return f"sha256:{hashlib.sha256(told).hexdigest()}"


def _request(data: _Object, options: ReadOptions) -> AccessRequestRecord:
    if data.fields.get("access_groups") is None:
        raise FieldError(f"{data.at('access_groups')}: no list is given.")
    grantee, flow = data.inner("grantee"), data.inner("access_flow")
    return AccessRequestRecord(
        id=data.required_text("id"),
        friendly_id=data.text("friendly_id"),
        requester=_requester(data),
        grantee=Grantee(
            id=grantee.text("id"),
            source_id=grantee.text("source_id"),
            name=grantee.text("name"),
            type=grantee.text("type"),
        ),
        justification=data.text("justification"),
        requested_at=_seconds(data, "creation_date", options),
        revoked_at=_seconds(data, "revocation_date", replace(options, now=options.now + AHEAD)),
        flow=Flow(id=flow.text("id"), name=flow.text("name")) if flow.fields else None,
        duration_seconds=_duration(data, "access_duration_in_seconds"),
        units=list(_units(data)),
        approvals=list(map(_approval, data.each("approvals"))),
        custom_fields=_custom_fields(data),
    )


def _requester(data: _Object) -> Requester:
    person = data.inner("requester")
    requester = Requester(id=person.text("id"), name=person.text("name"), email=person.text("email"))
    if not requester.email.strip() and not requester.id.strip():
        raise FieldError(f"{person.path}: missing, or has neither email nor id to tell who asked.")
    return requester


def _seconds(data: _Object, name: str, options: ReadOptions) -> float | None:
    value = data.fields.get(name)
    return None if value in (None, "") else parsed_time(value, options, field=data.at(name)).timestamp()


def _duration(data: _Object, name: str) -> float | None:
    value = data.fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise FieldError(f"{data.at(name)}: {shown(value)} is not a number of seconds from 0 to {MAX_SECONDS:,}.")
    return float(value)


def _units(data: _Object) -> Iterator[Unit]:
    for group in data.each("access_groups"):
        integration = group.inner("integration")
        types = [one.text("id") or one.text("name") for one in group.each("resource_types")]
        for unit in group.each("access_units"):
            resource, permission = unit.inner("resource"), unit.inner("permission")
            yield Unit(
                integration_id=integration.text("id"),
                integration_type=integration.text("type"),
                integration=integration.text("name") or integration.text("id"),
                resource_id=resource.text("id"),
                resource=resource.text("name") or resource.text("id"),
                resource_path=resource.text("path"),
                resource_type=resource.text("type") or (types[0] if len(types) == 1 else ""),
                tags=_tags(resource),
                permission=permission.text("name") or permission.text("id"),
            )


def _tags(resource: _Object) -> list[str]:
    given = resource.fields.get("tags")
    if given is None:
        return []
    at = resource.at("tags")
    if isinstance(given, dict):
        by_name = _Object(given, at)
        return [f"{name}={by_name.text(name)}" for name in given]
    if not isinstance(given, list):
        raise FieldError(f"{at}: {shown(given)} is neither a list nor an object.")
    for number, tag in enumerate(given):
        if not isinstance(tag, str):
            raise FieldError(f"{at}[{number}]: {shown(tag)} is not a text.")
    return given


def _approval(given: _Object) -> Approval:
    approver = given.inner("approver")
    kind, approver_id, email = given.text("type"), approver.text("id"), approver.text("email")
    return Approval(
        name=given.text("name"),
        type=kind,
        status=given.text("status"),
        approver_id=approver_id,
        approver_name=approver.text("name"),
        approver_email=email,
        manual=by_person(kind, approver_id=approver_id, approver_email=email),
    )


def _custom_fields(data: _Object) -> dict[str, Any]:
    given = data.inner("custom_fields")
    try:
        check_metadata(given.fields)
    except FieldError as error:
        raise as_spelt(error, {"metadata": given.path}) from None
    return given.fields

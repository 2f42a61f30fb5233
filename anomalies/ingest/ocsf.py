"""OCSF: events of the classes Authentication (3002), Authorize Session (3003) and User Access Management (3005).

One a line or a JSON array. Events of other classes, of which a lake has many, are no authorization events here.

The action is the class and the activity: authentication.logon, authorize_session.assign_privileges,
user_access.revoke_privileges. The principal is `user`, by address, name or id in this order; of the first two classes
`actor.user` where it is missing. The agent of these is the application that asked (`actor.app_name`), or else the
service or endpoint that was asked; of User Access Management it is who changed the other's access, `actor.user`.

Denied by a security control (`action_id` or `disposition_id` 2), and failed as the account is locked or disabled, is
"blocked"; otherwise the `status_id` counts, or else the `status`. Without both an authentication is rejected, as it may
have gone either way; the other classes tell what was done, a "success".

Times are in milliseconds. Raw and unmapped data are not kept: they may hold secrets.

Source: the OCSF schema, classes authentication, authorize_session and user_access, profile security_control.
"""

import re
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any

from anomalies.ingest.fields import as_spelt, event_record, known_ip_address
from anomalies.ingest.ids import Ids
from anomalies.ingest.json_records import json_records, object_with
from anomalies.ingest.nested import mapping, mappings, named
from anomalies.ingest.record import EventRecord, FieldError, ReadOptions, Rejection
from anomalies.ingest.times import parsed_time
from anomalies.ingest.wording import shown

AUTHENTICATION, AUTHORIZE_SESSION, USER_ACCESS = 3002, 3003, 3005
CLASSES = {AUTHENTICATION: "authentication", AUTHORIZE_SESSION: "authorize_session", USER_ACCESS: "user_access"}
ACTIVITIES = {
    AUTHENTICATION: {
        1: "logon",
        2: "logoff",
        3: "authentication_ticket",
        4: "service_ticket_request",
        5: "service_ticket_renew",
        6: "preauth",
        7: "account_switch",
    },
    AUTHORIZE_SESSION: {1: "assign_privileges", 2: "assign_groups", 3: "assign_roles"},
    USER_ACCESS: {1: "assign_privileges", 2: "revoke_privileges", 3: "assign_role", 4: "remove_role"},
}
DENIED = 2  # as action_id; as disposition_id it is called Blocked
STATUS_IDS = {1: "success", 2: "failure"}
STATUSES = {"success": "success", "succeeded": "success", "failure": "failure", "failed": "failure"}
BLOCKED_DETAILS = ("ACCOUNT_LOCKED_OUT", "ACCOUNT_DISABLED")
MILLISECONDS = (1e11, 1e14)  # from 1973 to 5138; seconds lie below, microseconds above
THEIRS = {
    "id": "metadata.uid",
    "principal_id": "user",
    "agent_id": "actor",
    "action": "activity_name",
    "country": "src_endpoint.location.country",
    "city": "src_endpoint.location.city",
    "latitude": "src_endpoint.location (latitude)",
    "longitude": "src_endpoint.location (longitude)",
    "user_agent": "http_request.user_agent",
    "integration": "metadata.product.name",
    "permission": "privileges",
}


def read(stream: BufferedReader, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield an event or a rejection for each event of the three classes.

    Raises SourceError where the stream breaks off.
    """
    ids = Ids(options)
    for place, text in json_records(stream):
        if isinstance(text, Rejection):
            yield text
            continue
        try:
            event = object_with(text, "class_uid", "type_uid", "category_uid")
            if _class(event) in CLASSES:
                yield ids.identified(_record(event, options))
        except FieldError as error:
            yield place.rejection(error)


def _class(event: Mapping[str, Any]) -> int:
    """Return the class. Raises FieldError if OCSF can have no such class."""
    uid = event.get("class_uid")
    if uid is None:
        raise FieldError("class_uid: it is missing.")
    # The number of an extension, of a category and of the class in it; 0 is the base event.
    if not _is_integer(uid) or not (uid == 0 or 1000 <= uid % 100_000 < 10_000):
        raise FieldError(f"class_uid: {shown(uid)} is no class of OCSF, such as {AUTHENTICATION} (Authentication).")
    return int(uid)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _record(event: Mapping[str, Any], options: ReadOptions) -> EventRecord:
    uid = _class(event)
    source = mapping(event, "src_endpoint")
    address = _told(source, "ip")
    ip = known_ip_address(address)
    resource, resource_type = _resource(event)
    privileges = _privileges(event)
    try:
        return event_record(
            {
                "id": mapping(event, "metadata").get("uid"),
                "time": parsed_time(_seconds(event), options),
                "agent_id": _agent(event),
                "principal_id": _principal(event),
                "action": f"{CLASSES[uid]}.{_activity(event)}",
                "status": _status(event),
                "resource": resource,
                "resource_type": resource_type,
                "integration": _told(mapping(event, "metadata", "product"), "name", "vendor_name"),
                "permission": privileges[0] if privileges else "",
                "ip": ip,
                **_location(mapping(source, "location")),
                "user_agent": _told(mapping(event, "http_request"), "user_agent"),
                "metadata": _metadata(event, privileges, source="" if ip else address),
            },
            options,
        )
    except FieldError as error:
        raise as_spelt(error, THEIRS) from None


def _told(outer: Mapping[str, Any], *names: str) -> str:
    """Return the first of these texts that says something, or "": Windows writes "-" for nothing."""
    return next((text for name in names if (text := named(outer, name).strip()) not in ("", "-", "NULL SID")), "")


def _seconds(event: Mapping[str, Any]) -> float:
    time = event.get("time")
    if time is None:
        raise FieldError("time: it is missing.")
    if not isinstance(time, int | float) or isinstance(time, bool):
        raise FieldError(f"time: {shown(time)} is not a number of milliseconds since 1970-01-01.")
    least, most = MILLISECONDS
    if not least <= time < most:
        unit = "seconds" if abs(time) < least else "microseconds or nanoseconds"
        raise FieldError(f"time: {shown(time)} looks like epoch {unit}; the time of OCSF is in milliseconds.")
    return time / 1000


def _activity(event: Mapping[str, Any]) -> str:
    """Return what was done; of what OCSF does not know (Other, or newer than this) as the source calls it."""
    activity = event.get("activity_id")
    if not _is_integer(activity):
        raise FieldError(f"activity_id: {'it is missing' if activity is None else f'{shown(activity)} is no integer'}.")
    known = ACTIVITIES[event["class_uid"]].get(event["activity_id"])
    return known or re.sub(r"\W+", "_", _told(event, "activity_name")).strip("_").lower() or "other"


def _status(event: Mapping[str, Any]) -> str:
    if DENIED in (event.get("action_id"), event.get("disposition_id")):
        return "blocked"
    status_id = event.get("status_id")
    status = STATUS_IDS.get(status_id, "") if isinstance(status_id, int) else ""
    status = status or STATUSES.get(_told(event, "status").lower(), "")
    if status == "failure" and _told(event, "status_detail") in BLOCKED_DETAILS:
        return "blocked"
    if not status and event["class_uid"] == AUTHENTICATION:
        raise FieldError(
            "status_id: neither it nor status tells whether the authentication was a success or a failure."
        )
    return status or "success"


def _named_user(user: Mapping[str, Any]) -> str:
    return _told(user, "email_addr", "name", "uid")


def _principal(event: Mapping[str, Any]) -> str:
    principal = _named_user(mapping(event, "user"))
    if not principal and event["class_uid"] != USER_ACCESS:
        principal = _named_user(mapping(event, "actor", "user"))
    if not principal:
        raise FieldError("user: it is missing, or has no email_addr, name or uid.")
    return principal


def _agent(event: Mapping[str, Any]) -> str:
    actor = mapping(event, "actor")
    user = _named_user(mapping(actor, "user")) if event["class_uid"] == USER_ACCESS else ""
    agent = (
        user
        or _told(actor, "app_name", "app_uid", "invoked_by")
        or _told(mapping(event, "service"), "name", "uid")
        or _endpoint(event)
        or _told(mapping(event, "metadata", "product"), "name", "vendor_name")
    )
    if not agent:
        raise FieldError("actor: neither it nor service, dst_endpoint or metadata.product names who acts.")
    return agent


def _endpoint(event: Mapping[str, Any]) -> str:
    return _told(mapping(event, "dst_endpoint"), "hostname", "name", "svc_name", "ip", "uid")


def _resource(event: Mapping[str, Any]) -> tuple[str, str]:
    for resource in (*mappings(event, "resources"), mapping(event, "resource")):
        if name := _told(resource, "name", "uid"):
            return name, _told(resource, "type")
    if endpoint := _endpoint(event):
        return endpoint, "endpoint"
    service = _told(mapping(event, "service"), "name", "uid")
    return service, "service" if service else ""


def _privileges(event: Mapping[str, Any]) -> list[str]:
    """Return the privileges, roles and groups that are given or taken."""
    listed = event.get("privileges")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    for one, many in (("iam_role", "iam_roles"), ("group", "groups")):
        names += [_told(given, "name", "uid") for given in (mapping(event, one), *mappings(event, many))]
    return [name for name in names if name]


def _location(location: Mapping[str, Any]) -> dict[str, Any]:
    latitude, longitude = location.get("lat"), location.get("long")
    coordinates = location.get("coordinates")
    if coordinates is not None and latitude is None and longitude is None:
        if not isinstance(coordinates, list) or len(coordinates) != 2:
            at = "src_endpoint.location.coordinates"
            raise FieldError(f"{at}: {shown(coordinates)} is not a list of longitude and latitude.")
        longitude, latitude = coordinates
    return {
        "country": location.get("country"),
        "city": location.get("city"),
        "latitude": latitude,
        "longitude": longitude,
    }


def _metadata(event: Mapping[str, Any], privileges: list[str], *, source: str) -> dict[str, Any]:
    found = {
        "status_detail": _told(event, "status_detail", "status_code"),
        "is_mfa": event.get("is_mfa"),
        "is_remote": event.get("is_remote"),
        "auth_protocol": _told(event, "auth_protocol"),
        "logon_type": _told(event, "logon_type"),
        "session": _told(mapping(event, "session"), "uid") or _told(mapping(event, "actor", "session"), "uid"),
        "actor": _named_user(mapping(event, "actor", "user")),
        "user": _told(mapping(event, "user"), "uid"),
        "domain": _told(mapping(event, "user"), "domain"),
        "privileges": privileges,
        "resources": [name for one in mappings(event, "resources") if (name := _told(one, "name", "uid"))],
        "correlation": _told(mapping(event, "metadata"), "correlation_uid"),
        "source": source,
    }
    return {name: value for name, value in found.items() if value not in (None, "", [])}

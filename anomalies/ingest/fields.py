"""The fields of an event, checked one by one: what each source's own fields are turned into first."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from anomalies.ingest.record import EventRecord, FieldError, ReadOptions
from anomalies.ingest.times import parsed_time
from anomalies.ingest.wording import printable, shown

REQUIRED = ("time", "agent_id", "action", "status")
STATUSES = ("success", "failure", "blocked")
MAX_LENGTHS = {  # characters, as in the event table
    "id": 200,
    "agent_id": 200,
    "principal_id": 200,
    "action": 200,
    "grant_id": 200,
    "request_id": 200,
    "resource": 1000,
    "resource_type": 200,
    "integration": 200,
    "permission": 200,
    "city": 200,
    "user_agent": 2000,
}
OTHER_FIELDS = ("time", "status", "ip", "country", "latitude", "longitude", "metadata")
NAMES = frozenset((*MAX_LENGTHS, *OTHER_FIELDS))
OPTIONAL_TEXTS = ("grant_id", "request_id", "resource", "resource_type", "integration", "permission", "city")

MAX_IP_LENGTH = 64  # characters; the longest address has 45
MAX_METADATA_BYTES = 64 * 1024  # as JSON
MAX_METADATA_DEPTH = 32

_missing = object()


def event_record(fields: Mapping[str, Any], options: ReadOptions) -> EventRecord:
    """Return the record of these fields, named as in the native format; other names go to its metadata.

    Its external_id is empty if there is no `id`. None and "" are the same as a field that is not there.

    Raises FieldError at the first field that cannot be stored.
    """
    return EventRecord(
        external_id=_identifier(fields.get("id")),
        time=parsed_time(_required(fields, "time"), options),
        agent_id=_required_text(fields, "agent_id"),
        action=_required_text(fields, "action"),
        status=_status(_required(fields, "status")),
        principal_id=_text(fields, "principal_id") or None,
        ip=ip_address(fields.get("ip")),
        country=_country(fields.get("country")),
        latitude=_degrees(fields.get("latitude"), "latitude", 90),
        longitude=_degrees(fields.get("longitude"), "longitude", 180),
        user_agent=_text(fields, "user_agent"),
        metadata=_metadata(fields),
        **{name: _text(fields, name) for name in OPTIONAL_TEXTS},
    )


def as_spelt(error: FieldError, names: Mapping[str, str]) -> FieldError:
    """Return the error with the field named as its source spells it; `names` leads from our names to theirs."""
    field, separator, reason = str(error).partition(": ")
    return type(error)(f"{names.get(field, field)}{separator}{reason}")


def _required(fields: Mapping[str, Any], name: str) -> Any:
    value = fields.get(name)
    if name not in fields:
        raise FieldError(f"{name}: it is missing.")
    if value is None or value == "":
        raise FieldError(f"{name}: it is {'null' if value is None else 'empty'}.")
    return value


def _required_text(fields: Mapping[str, Any], name: str) -> str:
    _required(fields, name)
    text = _text(fields, name)
    if not text.strip():
        raise FieldError(f"{name}: it is blank.")
    return text


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FieldError(f"{name}: {shown(value)} is not a text.")
    if len(value) > MAX_LENGTHS[name]:
        raise FieldError(f"{name}: it has {len(value):,} characters; at most {MAX_LENGTHS[name]:,} can be stored.")
    if "\x00" in value:
        raise FieldError(f"{name}: it contains a NUL character, which cannot be stored.")
    return value


def _identifier(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = shown(value)
    return _text({"id": value}, "id")


def _status(value: object) -> str:
    if value not in STATUSES:
        raise FieldError(f"status: {shown(value)} is not one of {', '.join(STATUSES)}.")
    return str(value)


def ip_address(value: object) -> str | None:
    """Return the address in its canonical form, IPv4 in IPv6 as IPv4, or None for none. Raises FieldError."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise FieldError(f"ip: {shown(value)} is not a text.")
    address = known_ip_address(value)
    if address is None:
        raise FieldError(
            f"ip: {shown(value)} is not an IP address; send the address alone, without a port or network mask."
        )
    return address


def known_ip_address(text: str) -> str | None:
    """Return the address in its canonical form, or None if it is none."""
    return _known_ip_address(text) if len(text) <= MAX_IP_LENGTH else None


@lru_cache(maxsize=65_536)
def _known_ip_address(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return None
        return str(address.ipv4_mapped or address)
    return str(address)


def _country(value: object) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or len(value) != 2 or not (value.isascii() and value.isalpha()):
        raise FieldError(f"country: {shown(value)} is not an ISO 3166 code of two letters, such as DE.")
    return value.upper()


def _degrees(value: object, name: str, most: float) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        raise FieldError(f"{name}: {shown(value)} is not a number from {-most} to {most}.")
    return float(value)


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    given = fields.get("metadata")
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise FieldError(f"metadata: {shown(given)} is not an object.")
    unknown = {name: value for name, value in fields.items() if name not in NAMES}
    for name in unknown:
        if given.get(name, _missing) not in (_missing, unknown[name]):
            raise FieldError(f"{printable(name)}: it is given twice, and with another value in metadata.")
    metadata = {**given, **unknown}
    if metadata:
        check_metadata(metadata)
    return metadata


def check_metadata(metadata: dict[str, Any]) -> None:
    """Raise FieldError unless PostgreSQL can store it: its size, its depth, no NUL."""
    _check_depth(metadata, MAX_METADATA_DEPTH)
    try:
        encoded = msgspec.json.encode(metadata)
    except (OverflowError, ValueError):
        raise FieldError("metadata: it contains a number that is too large.") from None
    if len(encoded) > MAX_METADATA_BYTES:
        raise FieldError(
            f"metadata: it has {len(encoded):,} bytes as JSON; at most {MAX_METADATA_BYTES:,} can be stored."
        )
    if b"\\u0000" in encoded and _has_nul(metadata):
        raise FieldError("metadata: it contains a NUL character, which cannot be stored.")


def _check_depth(value: object, left: int) -> None:
    if isinstance(value, dict | list):
        if left == 0:
            raise FieldError(f"metadata: it is nested deeper than {MAX_METADATA_DEPTH} levels.")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, left - 1)


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(name) or _has_nul(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(_has_nul(inner) for inner in value)
    return isinstance(value, str) and "\x00" in value

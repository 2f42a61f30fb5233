"""What every source turns its records into."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from io import BufferedReader
from typing import Any, Protocol

import msgspec


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One event, checked: times are aware and in UTC, texts are within the lengths of the event table."""

    external_id: str
    time: datetime
    agent_id: str
    action: str
    status: str  # success, failure (credentials or check failed) or blocked (not allowed)
    principal_id: str | None = None
    grant_id: str = ""
    request_id: str = ""
    resource: str = ""
    resource_type: str = ""
    integration: str = ""
    permission: str = ""
    ip: str | None = None
    country: str = ""
    city: str = ""
    latitude: float | None = None
    longitude: float | None = None
    user_agent: str = ""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that could not be read: where, and one sentence that names the field."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Misfit(Rejection):
    """A record that is not of the format at all: where there are no others, the format is the wrong one."""


class FieldError(ValueError):
    """A field that cannot be stored; its text names the field and is the reason of the rejection."""


class MisfitError(FieldError):
    """What stands there is no record of the format."""


def rejected(line: int, error: FieldError) -> Rejection:
    return (Misfit if isinstance(error, MisfitError) else Rejection)(line, str(error))


class SourceError(Exception):
    """The input as a whole cannot be read further, such as a truncated gzip; says where."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a source's own records do not say."""

    now: datetime
    year: int | None = None  # of records whose times lack one
    assumed_year: Callable[[int], None] | None = None  # told which year was taken for the first of them without `year`
    time_zone: tzinfo | None = None  # of records whose times lack one; None reads as UTC
    source: str = ""  # name of the source, for formats whose records do not name their agent
    kept_days: int = 0  # before now, of which events are taken; 0 takes all
    new_id: Callable[[], str] | None = None  # of records without one; None derives it from their content


class Reader(Protocol):
    """Reads a stream of bytes, never all of it at once, and yields each record or why it was rejected.

    Lines that the format defines but that are no authorization event yield nothing.
    """

    def __call__(self, stream: BufferedReader, options: ReadOptions) -> Iterator[EventRecord | Rejection]: ...

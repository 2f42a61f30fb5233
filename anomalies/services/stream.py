"""What listeners of the event stream get: the outbox in its settled order, from a position on."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from anomalies.models import ApiKey, OutboxMessage, StreamLease

MAX_STREAMS = 5  # at once for one key
LEASE = timedelta(seconds=30)  # a stream that was not renewed for so long is over
MESSAGES_AT_ONCE = 500
LAST_NUMBER = 10**18 - 1  # of a message, and of what an event id can say


class TooManyStreamsError(Exception):
    def __init__(self, key: ApiKey) -> None:
        self.retry_after_seconds = int(LEASE.total_seconds())
        super().__init__(f"The key {key.name} has {MAX_STREAMS} event streams open already; close one first.")


class UnknownPositionError(Exception):
    def __init__(self) -> None:
        super().__init__("Last-Event-ID: it is no id of an event of this stream.")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the settled order of the outbox: after the message of that transaction and number."""

    transaction: int
    number: int

    def __str__(self) -> str:
        return f"evt_{self.transaction}_{self.number}"

    @classmethod
    def of(cls, message: OutboxMessage) -> "Position":
        return cls(message.transaction, message.pk)


def position_of(event_id: str) -> Position:
    """The position after the event with that id. Raises UnknownPositionError.

    An id from before the database was restored elsewhere may lie ahead of all: nothing would come after it for long.
    """
    match = re.fullmatch(r"evt_([0-9]{1,18})_([0-9]{1,18})", event_id, re.ASCII)
    if match is None or int(match[1]) > newest_position().transaction:
        raise UnknownPositionError
    return Position(int(match[1]), int(match[2]))


def newest_position() -> Position:
    """Where a listener starts who wants what comes from now on: after all that is settled."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        (oldest_running,) = cursor.fetchone()
    return Position(oldest_running - 1, LAST_NUMBER)


def messages_after(position: Position) -> list[OutboxMessage]:
    """The next settled messages, at most MESSAGES_AT_ONCE."""
    return list(settled_after(position)[:MESSAGES_AT_ONCE])


def settled_after(position: Position) -> "QuerySet[OutboxMessage]":
    """All settled messages after a position, in their order."""
    later = Q(transaction__gt=position.transaction) | Q(pk__gt=position.number)
    return OutboxMessage.objects.settled().filter(later, transaction__gte=position.transaction)


@transaction.atomic
def open_stream(key: ApiKey, *, at: datetime) -> StreamLease:
    """Count one more stream of the key. Raises TooManyStreamsError."""
    ApiKey.objects.select_for_update().get(pk=key.pk)
    StreamLease.objects.filter(api_key=key, renewed_at__lte=at - LEASE).delete()
    if StreamLease.objects.filter(api_key=key).count() >= MAX_STREAMS:
        raise TooManyStreamsError(key)
    return StreamLease.objects.create(api_key=key, renewed_at=at)


def renew(lease: StreamLease, *, at: datetime) -> bool:
    """Say that the stream is still served. False: it must end, for its key or its lease is gone."""
    usable = ApiKey.objects.usable(at=at).filter(pk=lease.api_key_id)
    return bool(StreamLease.objects.filter(pk=lease.pk, api_key__in=usable).update(renewed_at=at))


def close_stream(lease: StreamLease) -> None:
    """Make room for another."""
    StreamLease.objects.filter(pk=lease.pk).delete()

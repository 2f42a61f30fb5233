"""What is sent in becomes rows: all events of a batch or none of them."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime

import msgspec
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

from anomalies.ingest.record import EventRecord, Rejection, SourceError
from anomalies.models import Agent, Batch, Principal, Source
from anomalies.services import partitions

EVENTS_A_BATCH = 50_000  # of a file
MAX_REJECTIONS_KEPT = EVENTS_A_BATCH
MAX_SOURCE_NAME = 100  # characters
MAX_REASONS_TOLD = 1000  # of one call; the number of rejections tells of the others

_COLUMNS = {
    "external_id": "text",
    "time": "timestamptz",
    "agent_id": "text",
    "principal_id": "text",
    "action": "text",
    "status": "text",
    "grant_id": "text",
    "request_id": "text",
    "resource": "text",
    "resource_type": "text",
    "integration": "text",
    "permission": "text",
    "ip": "inet",
    "country": "text",
    "city": "text",
    "latitude": "float8",
    "longitude": "float8",
    "user_agent": "text",
    "metadata": "jsonb",
}
_NAMES = ", ".join(_COLUMNS)

# One a connection, empty again after each transaction: making it anew each time would bloat PostgreSQL's catalog.
_STAGE = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS staged_event ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
ON COMMIT DELETE ROWS
"""

# Sorted, so that two writers of the same ids wait for each other and never deadlock; ctid: the first of a batch wins.
# S608: _NAMES are our own.
_INSERT = f"""
INSERT INTO anomalies_event (source_id, batch_id, {_NAMES})
SELECT %s, %s, {_NAMES} FROM staged_event ORDER BY external_id COLLATE "C", time, ctid
ON CONFLICT (source_id, external_id, time) DO NOTHING
"""  # noqa: S608

_UNKNOWN = """
SELECT DISTINCT {name}_id COLLATE "C" AS id FROM staged_event s
WHERE {name}_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM anomalies_{name} k WHERE k.public_id = s.{name}_id)
ORDER BY id
"""

_GRANTS = """
INSERT INTO anomalies_grant (public_id, agent_id, principal_id, scopes, status, issued_at, revoked_by)
SELECT DISTINCT ON (grant_id COLLATE "C") grant_id, agent_id, principal_id, '[]', 'active', time, ''
FROM staged_event s
WHERE grant_id <> '' AND NOT EXISTS (SELECT FROM anomalies_grant k WHERE k.public_id = s.grant_id)
ORDER BY grant_id COLLATE "C", time, ctid
ON CONFLICT (public_id) DO NOTHING
"""


_FRESHEN = """
UPDATE anomalies_source SET
    watermark = greatest(watermark, (SELECT max(time) FROM staged_event)),
    received_at = greatest(received_at, %s)
WHERE id = %s
"""


class SourceNameError(Exception):
    """A source cannot be called that."""


class IdempotencyError(Exception):
    """The Idempotency-Key was used before, with another body."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch. `rejections` are the first 50,000, so all of a file's batch; `rejected` counts all.

    `replayed`: it was stored before, under the same Idempotency-Key.
    """

    batch: Batch | None  # None: there was no event in it
    accepted: int
    duplicate: int
    rejected: int
    rejections: list[Rejection] = field(default_factory=list)
    replayed: bool = False


def store(
    outcomes: Iterable[EventRecord | Rejection],
    *,
    source_name: str,
    format: str,  # noqa: A002  the name of the column
    received_at: datetime,
    idempotency_key: str | None = None,
    body_sha256: str = "",
) -> Stored:
    """Store the events as one batch, each id and time of a source once, with the agents, principals and grants they name.

    The iterable is read once and not kept. What it raises, such as SourceError, undoes the batch.

    With an idempotency key used before for the source, nothing is stored and the first answer returned. Raises
    IdempotencyError if the body was another, SourceNameError if there can be no source of that name.
    """
    _check_source_name(source_name)
    with transaction.atomic(), connection.cursor() as cursor:
        earlier = _earlier(source_name, idempotency_key, body_sha256)
        if earlier:
            return earlier
        staged, rejected, rejections = _stage(cursor, outcomes)
        if staged == 0 and idempotency_key is None:
            return Stored(None, 0, 0, rejected, rejections)
        source = _source(source_name, format)
        batch = _batch(source, received_at, idempotency_key, body_sha256)
        if batch is None:
            earlier = _earlier(source_name, idempotency_key, body_sha256)
            assert earlier is not None  # its row is what ours conflicted with
            return earlier
        Agent.objects.bulk_create((Agent(public_id=name) for name in _unknown(cursor, Agent)), ignore_conflicts=True)
        Principal.objects.bulk_create(
            (Principal(public_id=name) for name in _unknown(cursor, Principal)), ignore_conflicts=True
        )
        cursor.execute("SELECT DISTINCT (time AT TIME ZONE 'UTC')::date FROM staged_event")
        partitions.prepare(cursor, {day for (day,) in cursor.fetchall()}, today=received_at.date())
        cursor.execute(_INSERT, [source.pk, batch.pk])
        accepted = cursor.rowcount
        cursor.execute(_GRANTS)
        stored = Stored(batch, accepted, staged - accepted, rejected, rejections)
        _keep_figures(stored)
        _freshen(cursor, source, received_at)
    return stored


def store_in_batches(
    outcomes: Iterable[EventRecord | Rejection],
    *,
    source_name: str,
    format: str,  # noqa: A002  the name of the column
    received_at: datetime,
    size: int = EVENTS_A_BATCH,
) -> Iterator[Stored]:
    """Store a stream of any length and yield each batch once it is committed.

    What was read before a SourceError is stored; then it is raised. Raises SourceNameError as `store` does.
    """
    stream = _Pieces(outcomes, size)
    while stream.has_more():
        yield store(stream.piece(), source_name=source_name, format=format, received_at=received_at)
    if stream.error:
        raise stream.error


class _Pieces:
    """A stream cut into pieces without keeping them; an error ends the piece in which it comes."""

    def __init__(self, outcomes: Iterable[EventRecord | Rejection], size: int) -> None:
        self._outcomes = iter(outcomes)
        self._size = size
        self._next: EventRecord | Rejection | None = None
        self.error: SourceError | None = None

    def has_more(self) -> bool:
        self._next = self._read()
        return self._next is not None

    def piece(self) -> Iterator[EventRecord | Rejection]:
        left = self._size
        outcome = self._next
        while outcome is not None:
            yield outcome
            left -= 1
            outcome = self._read() if left else None

    def _read(self) -> EventRecord | Rejection | None:
        try:
            return next(self._outcomes, None)
        except SourceError as error:
            self.error = error
            return None


def _check_source_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_SOURCE_NAME or not name.isprintable():
        raise SourceNameError(f"source: a name has 1 to {MAX_SOURCE_NAME} printable characters.")


def _source(name: str, format_: str) -> Source:
    source = Source.objects.filter(name=name).first()
    if source is None:
        Source.objects.bulk_create([Source(name=name, format=format_)], ignore_conflicts=True)
        source = Source.objects.get(name=name)
    return source


def _earlier(source_name: str, idempotency_key: str | None, body_sha256: str) -> Stored | None:
    """Return what was stored under that key before, if anything."""
    if idempotency_key is None:
        return None
    batch = Batch.objects.filter(source__name=source_name, idempotency_key=idempotency_key).first()
    if batch is None:
        return None
    if batch.body_sha256 != body_sha256:
        raise IdempotencyError("Idempotency-Key: it was used before, with another body.")
    rejections = [Rejection(**kept) for kept in batch.answer or []]
    return Stored(batch, batch.accepted, batch.duplicate, batch.rejected, rejections, replayed=True)


def _batch(source: Source, received_at: datetime, idempotency_key: str | None, body_sha256: str) -> Batch | None:
    """Return a new batch, or None if another call was faster with that key; waits until it is decided."""
    try:
        with transaction.atomic():
            return Batch.objects.create(
                source=source, received_at=received_at, idempotency_key=idempotency_key, body_sha256=body_sha256
            )
    except IntegrityError:
        return None


def _stage(cursor: CursorWrapper, outcomes: Iterable[EventRecord | Rejection]) -> tuple[int, int, list[Rejection]]:
    """Copy the events into the staging table; return how many they are, how many were rejected, and those."""
    cursor.execute(_STAGE)
    cursor.execute("SELECT EXISTS (SELECT FROM staged_event)")
    if cursor.fetchone()[0]:  # from earlier in this transaction
        cursor.execute("TRUNCATE staged_event")
    staged = rejected = 0
    rejections: list[Rejection] = []
    with cursor.copy(f"COPY staged_event ({_NAMES}) FROM STDIN") as copy:
        for outcome in outcomes:
            if isinstance(outcome, Rejection):
                rejected += 1
                if rejected <= MAX_REJECTIONS_KEPT:
                    rejections.append(outcome)
            else:
                copy.write_row(_row(outcome))
                staged += 1
    return staged, rejected, rejections


def _row(event: EventRecord) -> tuple[str | float | None, ...]:
    return (
        event.external_id,
        event.time.isoformat(),
        event.agent_id,
        event.principal_id,
        event.action,
        event.status,
        event.grant_id,
        event.request_id,
        event.resource,
        event.resource_type,
        event.integration,
        event.permission,
        event.ip,
        event.country,
        event.city,
        event.latitude,
        event.longitude,
        event.user_agent,
        msgspec.json.encode(event.metadata).decode() if event.metadata else "{}",
    )


def _unknown(cursor: CursorWrapper, model: type[Model]) -> list[str]:
    """Return the sorted public ids of agents or principals that have no row yet."""
    cursor.execute(_UNKNOWN.format(name=model._meta.model_name))
    return [public_id for (public_id,) in cursor.fetchall()]


def _keep_figures(stored: Stored) -> None:
    batch = stored.batch
    assert batch is not None
    batch.accepted, batch.duplicate, batch.rejected = stored.accepted, stored.duplicate, stored.rejected
    if batch.idempotency_key is not None:
        batch.answer = [asdict(rejection) for rejection in stored.rejections[:MAX_REASONS_TOLD]]
    batch.save(update_fields=["accepted", "duplicate", "rejected", "answer"])


def _freshen(cursor: CursorWrapper, source: Source, received_at: datetime) -> None:
    cursor.execute(_FRESHEN, [received_at, source.pk])

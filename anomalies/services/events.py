"""What is sent in becomes rows: all events of a batch or none of them."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import UniqueViolation

from anomalies.ingest.record import EventRecord, Rejection, SourceError
from anomalies.models import Agent, Batch, Grant, Principal, Source
from anomalies.services import lags, partitions
from anomalies.services.copying import copying
from anomalies.services.rows import COLUMNS, Rows

EVENTS_A_BATCH = 50_000  # of a file
MAX_REJECTIONS_KEPT = EVENTS_A_BATCH
MAX_SOURCE_NAME = 100  # characters
MAX_REASONS_TOLD = 1000  # of one call; the number of rejections tells of the others

_COPY = f"COPY anomalies_event (source_id, batch_id, {COLUMNS}) FROM STDIN"

# One a connection, empty again after each transaction: making it anew each time would bloat PostgreSQL's catalog.
_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_event (LIKE anomalies_event INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;
DELETE FROM staged_event
"""

# In the order in which COPY would have written them: two writers of the same ids wait for each other, and never
# deadlock. S608: COLUMNS are our own.
_INSERT = f"""
INSERT INTO anomalies_event (source_id, batch_id, {COLUMNS})
SELECT source_id, batch_id, {COLUMNS} FROM staged_event
ORDER BY time, external_id COLLATE "C"
ON CONFLICT (source_id, external_id, time) DO NOTHING
"""  # noqa: S608

_UNKNOWN = """
SELECT 'agent', wanted FROM unnest(%s::text[]) AS wanted
WHERE NOT EXISTS (SELECT FROM anomalies_agent WHERE public_id = wanted)
UNION ALL SELECT 'principal', wanted FROM unnest(%s::text[]) AS wanted
WHERE NOT EXISTS (SELECT FROM anomalies_principal WHERE public_id = wanted)
UNION ALL SELECT 'grant', wanted FROM unnest(%s::text[]) AS wanted
WHERE NOT EXISTS (SELECT FROM anomalies_grant WHERE public_id = wanted)
"""

_FRESHEN = """
UPDATE anomalies_source SET
    watermark = greatest(watermark, %s),
    received_at = greatest(received_at, %s),
    accepted_events = accepted_events + %s,
    duplicate_events = duplicate_events + %s,
    rejected_records = rejected_records + %s
WHERE id = %s
"""

_COUNT_REJECTED = "UPDATE anomalies_source SET rejected_records = rejected_records + %s WHERE name = %s"


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
    live: bool = True,
) -> Stored:
    """Store the events as one batch, each once, with the agents, principals and grants that they name.

    An event is known by its source, its id and its time: one that was stored before is a duplicate. The iterable is
    read once and not kept. What it raises, such as SourceError, undoes the batch. `live`: they came when their source
    sent them, so that they tell how late it is.

    With an idempotency key used before for the source, nothing is stored and the first answer returned. Raises
    IdempotencyError if the body was another, SourceNameError if there can be no source of that name.
    """
    _check_source_name(source_name)
    with transaction.atomic(), connection.cursor() as cursor:
        earlier = _earlier(source_name, idempotency_key, body_sha256)
        if earlier:
            return earlier
        rows, rejected, rejections = _read(outcomes)
        if not rows and idempotency_key is None:
            if rejected:  # by whom nothing was ever understood is no source
                cursor.execute(_COUNT_REJECTED, [rejected, source_name])
            return Stored(None, 0, 0, rejected, rejections)
        source = _source(source_name, format)
        batch = _batch(
            rows,
            source=source,
            received_at=received_at,
            idempotency_key=idempotency_key,
            body_sha256=body_sha256,
            accepted=len(rows),
            duplicate=rows.given - len(rows),
            rejected=rejected,
            answer=None if idempotency_key is None else [asdict(one) for one in rejections[:MAX_REASONS_TOLD]],
            lags=lags.classified(rows.delays(received_at)) if live and rows else None,
        )
        if batch is None:
            earlier = _earlier(source_name, idempotency_key, body_sha256)
            assert earlier is not None  # its row is what ours conflicted with
            return earlier
        if rows:
            _write(cursor, rows, batch)
        # A clock that is ahead of ours does not make its source complete beyond now.
        fresh = [min(rows.last_time, received_at), received_at] if rows else [None, None]
        cursor.execute(_FRESHEN, [*fresh, batch.accepted, batch.duplicate, rejected, source.pk])
    return Stored(batch, batch.accepted, batch.duplicate, rejected, rejections)


def store_in_batches(
    outcomes: Iterable[EventRecord | Rejection],
    *,
    source_name: str,
    format: str,  # noqa: A002  the name of the column
    received_at: datetime,
    size: int = EVENTS_A_BATCH,
) -> Iterator[Stored]:
    """Store a stream of any length, such as a file, and yield each batch once it is committed.

    What was read before a SourceError is stored; then it is raised. Raises SourceNameError as `store` does.
    """
    stream = _Pieces(outcomes, size)
    while stream.has_more():
        yield store(stream.piece(), source_name=source_name, format=format, received_at=received_at, live=False)
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


def _batch(rows: Rows, **figures: Any) -> Batch | None:
    """Return a new batch, or None if another call was faster with its key; waits until that is decided."""
    batch = Batch(**figures)
    if rows:
        batch.first_time, batch.last_time = rows.first_time, rows.last_time
    if batch.idempotency_key is None:
        batch.save(force_insert=True)
        return batch
    try:
        with transaction.atomic():
            batch.save(force_insert=True)
    except IntegrityError:
        return None
    return batch


def _read(outcomes: Iterable[EventRecord | Rejection]) -> tuple[Rows, int, list[Rejection]]:
    """Return the events, how many records were rejected, and the first of those."""
    rows = Rows()
    rejected = 0
    rejections: list[Rejection] = []
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            rejected += 1
            if rejected <= MAX_REJECTIONS_KEPT:
                rejections.append(outcome)
        else:
            rows.add(outcome)
    return rows, rejected, rejections


def _write(cursor: CursorWrapper, rows: Rows, batch: Batch) -> None:
    """Write events and whom they name: always in this order, so that no writers ever wait for each other in a ring."""
    unknown = _unknown(cursor, rows)
    Agent.objects.bulk_create((Agent(public_id=name) for name in unknown["agent"]), ignore_conflicts=True)
    Principal.objects.bulk_create((Principal(public_id=name) for name in unknown["principal"]), ignore_conflicts=True)
    partitions.prepare(cursor, rows.days, today=batch.received_at.date())
    if not _copied(rows, batch):
        batch.accepted = _inserted(cursor, rows, batch)
        batch.duplicate = rows.given - batch.accepted
        batch.save(update_fields=["accepted", "duplicate"])
    Grant.objects.bulk_create(
        (
            Grant(
                public_id=public_id,
                agent_id=rows.grants[public_id].agent_id,
                principal_id=rows.grants[public_id].principal_id,
                issued_at=rows.grants[public_id].time,
            )
            for public_id in unknown["grant"]
        ),
        ignore_conflicts=True,
    )


def _unknown(cursor: CursorWrapper, rows: Rows) -> dict[str, list[str]]:
    """Return the sorted public ids of agents, principals and grants that have no row yet."""
    cursor.execute(_UNKNOWN, [list(rows.agents), list(rows.principals - {None}), list(rows.grants)])
    unknown: dict[str, list[str]] = {"agent": [], "principal": [], "grant": []}
    for kind, public_id in cursor.fetchall():
        unknown[kind].append(public_id)
    return {kind: sorted(ids) for kind, ids in unknown.items()}


def _copied(rows: Rows, batch: Batch) -> bool:
    """Copy the events into their table, or nothing and return False if any of them was stored before."""
    try:
        with transaction.atomic():
            _copy(_COPY, rows, batch)
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        return False
    return True


def _inserted(cursor: CursorWrapper, rows: Rows, batch: Batch) -> int:
    """Insert the events that were not stored before, and return how many."""
    cursor.execute(_STAGE)
    _copy(_COPY.replace("anomalies_event", "staged_event"), rows, batch)
    cursor.execute(_INSERT)
    return int(cursor.rowcount)


def _copy(statement: str, rows: Rows, batch: Batch) -> None:
    with copying(statement) as copy:
        for block in rows.blocks(f"{batch.source_id}\t{batch.pk}\t"):
            copy.write(block)

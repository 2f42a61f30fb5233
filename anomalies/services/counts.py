"""Counting: from batches of events to buckets, each batch exactly once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F, Sum

from anomalies.models import Batch, Source
from anomalies.services import access_requests, actions, lags, sightings

MAX_SOURCES = 62  # of the events of one transaction: a bit each
MAX_EVENTS = 500_000  # counted in one transaction; a batch that is larger is counted alone
BLOCK_SECONDS = {60: 3600, 300: 86400, 3600: 86400}  # of a bucket: of the row that holds it

_CLAIM = """
SELECT id, accepted, source_id, received_at, first_time, last_time, lags FROM anomalies_batch
WHERE counted_at IS NULL ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
"""

# One pass over the new events, for all kinds of entities at once.
_TALLY = """
CREATE TEMPORARY TABLE tally ON COMMIT DROP AS
SELECT kind, entity, action, slot, metric, amount, first_time, last_time, sources
FROM (
    SELECT
        CASE GROUPING(agent_id, principal_id, ip)
            WHEN 3 THEN 'agent' WHEN 5 THEN 'principal' WHEN 6 THEN 'address' ELSE 'tenant'
        END AS kind,
        CASE GROUPING(agent_id, principal_id, ip)
            WHEN 3 THEN agent_id WHEN 5 THEN principal_id WHEN 6 THEN host(ip) ELSE 'all'
        END AS entity,
        CASE GROUPING(action) WHEN 0 THEN action ELSE '' END AS action,
        slot,
        count(*) AS requests,
        count(*) FILTER (WHERE status <> 'success') AS failures,
        min(time) AS first_time,
        max(time) AS last_time,
        bit_or(source) AS sources
    FROM (
        SELECT agent_id, principal_id, ip, action, status, time, source,
               date_bin('1 minute', time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS slot
        FROM anomalies_event
        JOIN unnest(%(ids)s::bigint[], %(bits)s::bigint[]) AS batch (id, source) ON batch_id = batch.id
        WHERE time >= %(first)s::timestamptz AND time <= %(last)s::timestamptz
    ) AS new
    GROUP BY GROUPING SETS ((slot, agent_id), (slot, agent_id, action), (slot, principal_id), (slot, ip), (slot))
) AS counted
CROSS JOIN LATERAL (VALUES ('requests', requests), ('failures', failures)) AS metrics (metric, amount)
WHERE entity IS NOT NULL AND amount > 0
"""

# Returns the agents of which it makes a series of a single action.
_SERIES = """
WITH kept AS (
    INSERT INTO anomalies_series (kind, entity, action, metric, first_time, last_time, dirty_from, source_ids)
    SELECT kind, entity, action, metric, first_time, last_time, first_time, ARRAY(
        SELECT id FROM unnest(%(sources)s::bigint[]) WITH ORDINALITY AS source (id, number)
        WHERE sources & (1::bigint << (number - 1)::integer) <> 0)
    FROM (
        SELECT kind, entity, action, metric, min(first_time) AS first_time, max(last_time) AS last_time,
               bit_or(sources) AS sources
        FROM tally GROUP BY kind, entity, action, metric
    ) AS counted
    ORDER BY kind, entity, action, metric
    ON CONFLICT (kind, entity, action, metric) DO UPDATE SET
        first_time = least(anomalies_series.first_time, excluded.first_time),
        last_time = greatest(anomalies_series.last_time, excluded.last_time),
        dirty_from = least(anomalies_series.dirty_from, excluded.dirty_from),
        source_ids = CASE WHEN anomalies_series.source_ids @> excluded.source_ids THEN anomalies_series.source_ids
            ELSE ARRAY(SELECT DISTINCT unnest(anomalies_series.source_ids || excluded.source_ids) AS id ORDER BY id) END
    RETURNING kind, entity, action, xmax = 0 AS new
)
SELECT DISTINCT entity FROM kept WHERE new AND kind = 'agent' AND action <> ''
"""

# By series, once for all resolutions.
_NUMBERED = """
CREATE TEMPORARY TABLE numbered ON COMMIT DROP AS
SELECT s.id AS series_id, extract(epoch FROM t.slot)::bigint AS seconds, t.amount
FROM tally t JOIN anomalies_series s USING (kind, entity, action, metric)
"""

_BLOCKS = """
CREATE TEMPORARY TABLE added ON COMMIT DROP AS
SELECT series_id, to_timestamp(block) AS start, array_agg(slot) AS slots, array_agg(amount) AS amounts
FROM (
    SELECT series_id, seconds - seconds %% %(block)s AS block,
           (seconds %% %(block)s / %(width)s + 1)::integer AS slot, sum(amount)::bigint AS amount
    FROM numbered GROUP BY 1, 2, 3
) AS summed
GROUP BY series_id, block
"""

# New blocks are written once, with what is in them. Scans count one at a time: nobody else makes the same.
_ADD = """
WITH known AS (
    UPDATE anomalies_bucketblock b SET counts = anomalies_bucket_add(b.counts, a.slots, a.amounts)
    FROM added a WHERE b.series_id = a.series_id AND b.resolution_seconds = %(width)s AND b.start = a.start
    RETURNING b.series_id, b.start
)
INSERT INTO anomalies_bucketblock (series_id, resolution_seconds, start, counts)
SELECT series_id, %(width)s, start, anomalies_bucket_add(array_fill(0, ARRAY[%(slots)s]), slots, amounts)
FROM added a WHERE NOT EXISTS (SELECT FROM known k WHERE k.series_id = a.series_id AND k.start = a.start)
ORDER BY series_id, start
"""

_MEETINGS = """
INSERT INTO anomalies_agentprincipal (agent_id, principal_id, first_seen, last_seen)
SELECT agent_id, principal_id, min(time), max(time)
FROM anomalies_event
WHERE batch_id = ANY(%(ids)s) AND time >= %(first)s::timestamptz AND time <= %(last)s::timestamptz
  AND principal_id IS NOT NULL
GROUP BY agent_id, principal_id ORDER BY agent_id, principal_id
ON CONFLICT (agent_id, principal_id) DO UPDATE SET
    first_seen = least(anomalies_agentprincipal.first_seen, excluded.first_seen),
    last_seen = greatest(anomalies_agentprincipal.last_seen, excluded.last_seen)
"""

_SEEN = """
UPDATE anomalies_{kind} e SET
    first_seen = least(e.first_seen, t.first_time),
    last_seen = greatest(e.last_seen, t.last_time)
FROM (
    SELECT entity, min(first_time) AS first_time, max(last_time) AS last_time
    FROM tally WHERE kind = '{kind}' AND action = '' GROUP BY entity
) AS t
WHERE e.public_id = t.entity
"""

# Nothing later than this came too late, whichever agent's it is; no row if nothing of the batches can have.
_JUDGED_BEFORE = """
SELECT least(max(judged_until) - %(horizon)s::interval, %(last)s::timestamptz) FROM anomalies_series
WHERE kind = 'tenant' HAVING max(judged_until) - %(horizon)s::interval > %(first)s::timestamptz
"""

# Of each source, the events from which their agent was judged beyond the horizon when they came.
_LATE = """
SELECT e.source_id, count(*)
FROM anomalies_event e
JOIN anomalies_series s ON s.kind = 'agent' AND s.entity = e.agent_id AND s.action = '' AND s.metric = 'requests'
WHERE e.batch_id = ANY(%(ids)s) AND e.time >= %(first)s::timestamptz AND e.time <= %(until)s::timestamptz
  AND e.time < s.judged_until - %(horizon)s::interval
GROUP BY e.source_id ORDER BY e.source_id
"""

_DONE = "UPDATE anomalies_batch SET counted_at = now() WHERE id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Counted:
    batches: int
    events: int


def uncounted_events() -> int:
    """Return how many events wait to be counted."""
    return int(Batch.objects.filter(counted_at=None).aggregate(total=Sum("accepted", default=0))["total"])


@dataclass(frozen=True, slots=True)
class _Claimed:
    id: int
    accepted: int
    source_id: int
    received_at: datetime
    first_time: datetime | None
    last_time: datetime | None
    lags: list[int] | None


@transaction.atomic
def count_some() -> Counted:
    """Add the events of some uncounted batches to the buckets, mark these batches counted, and say how many.

    One transaction: whatever dies, a batch is counted once. Nothing left to count gives zeros.
    """
    with connection.cursor() as cursor:
        batches = _claim(cursor)
        if not batches:
            return Counted(0, 0)
        if any(batch.accepted for batch in batches):
            lag_of = lags.learn(
                [lags.Delays(batch.source_id, batch.received_at, batch.lags) for batch in batches if batch.lags]
            )
            chosen = _chosen(batches)
            late = _late(cursor, chosen)
            _tally(cursor, chosen)
            access_requests.fold(cursor, chosen)
            # Rows of sources last: who stores events and waits for readers of them may hold such a row next.
            lags.keep(lag_of)
            for source_id, events in late:
                Source.objects.filter(pk=source_id).update(late_events=F("late_events") + events)
        cursor.execute(_DONE, [[batch.id for batch in batches]])
    return Counted(len(batches), sum(batch.accepted for batch in batches))


def _claim(cursor: CursorWrapper) -> list[_Claimed]:
    cursor.execute(_CLAIM)
    batches: list[_Claimed] = []
    sources: set[int] = set()
    events = 0
    for row in cursor.fetchall():
        batch = _Claimed(*row)
        events += batch.accepted
        sources.add(batch.source_id)
        if batches and (events > MAX_EVENTS or len(sources) > MAX_SOURCES):
            break
        batches.append(batch)
    return batches


def _chosen(batches: Sequence[_Claimed]) -> dict[str, Any]:
    """Return what chooses the batches' events: their ids, and the times that tell in which partitions they are.

    With their sources, and the bit that stands for that of each batch.
    """
    sources = sorted({batch.source_id for batch in batches})
    first = [batch.first_time for batch in batches if batch.accepted]
    last = [batch.last_time for batch in batches if batch.accepted]
    return {
        "ids": [batch.id for batch in batches],
        "sources": sources,
        "bits": [1 << sources.index(batch.source_id) for batch in batches],
        "first": min(time or datetime.min.replace(tzinfo=UTC) for time in first),
        "last": max(time or datetime.max.replace(tzinfo=UTC) for time in last),
    }


def _late(cursor: CursorWrapper, chosen: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the sources of which events came too late to be judged, and how many did."""
    within = {**chosen, "horizon": lags.LATE_HORIZON}
    cursor.execute(_JUDGED_BEFORE, within)
    if (row := cursor.fetchone()) is None:
        return []
    cursor.execute(_LATE, {**within, "until": row[0]})
    return [(source_id, events) for source_id, events in cursor.fetchall()]


def _tally(cursor: CursorWrapper, chosen: Mapping[str, Any]) -> None:
    cursor.execute(_TALLY, chosen)
    logins = sightings.logins_among(cursor)
    actions.name(cursor)
    cursor.execute("ANALYZE tally")
    cursor.execute(_SERIES, chosen)
    if with_new := [agent for (agent,) in cursor.fetchall()]:
        actions.fold(cursor, with_new)
    cursor.execute(_NUMBERED)
    cursor.execute("ANALYZE numbered")
    for width, block in BLOCK_SECONDS.items():
        cursor.execute(_BLOCKS, {"width": width, "block": block})
        cursor.execute("ANALYZE added")
        cursor.execute(_ADD, {"width": width, "slots": block // width})
        cursor.execute("DROP TABLE added")
    cursor.execute("DROP TABLE numbered")
    cursor.execute(_MEETINGS, chosen)
    sightings.add(cursor, chosen, logins)
    for kind in ("agent", "principal"):
        cursor.execute(_SEEN.format(kind=kind))
    cursor.execute("DROP TABLE tally")

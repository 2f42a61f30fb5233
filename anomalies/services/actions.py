"""Single actions of agents: which of them have counts of their own.

An agent that sends a new action with each event, such as one with an id in it, would have a series each. So ids in
names are left out, and of what is left the shortest names are counted one by one, the others together. Both depend on
the names alone: in whatever order events come, the same actions have the same counts.
"""

from collections.abc import Sequence
from typing import Any

from django.db.backends.utils import CursorWrapper

from anomalies.models import Agent, Series
from anomalies.services.lags import LATE_HORIZON

MOST_ACTIONS = 200  # of an agent, that are counted one by one
OTHER = "other actions"

# UUIDs, numbers, times, 8 and more hexadecimal digits, 10 and more letters and digits of which 4 are digits; as whole
# words: of `oauth2.token`, `s3.GetObject` and `api/v2/users/42` only the last number is one.
ID_LIKE = (
    r"(?<![[:alnum:]])(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|[0-9]+|[0-9]{2,}[[:alnum:]]*|(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}|(?=([[:alpha:]]*[0-9]){4})[[:alnum:]]{10,})"
    r"(?![[:alnum:]])"
)

_NAME = """
UPDATE tally t SET action = named.name
FROM (SELECT action, regexp_replace(action, %(id_like)s, '*', 'g') AS name
      FROM (SELECT DISTINCT action FROM tally WHERE action ~ '[0-9]') AS with_digits) AS named
WHERE t.action = named.action AND named.name <> named.action
"""

# Of agents with more than they may have, those that come after the last one that is counted by itself.
_SPARE = """
UPDATE tally t SET action = %(other)s
FROM (
    SELECT entity, action, row_number() OVER (PARTITION BY entity ORDER BY length(action), action COLLATE "C") AS number
    FROM anomalies_series
    WHERE kind = 'agent' AND metric = 'requests' AND action NOT IN ('', %(other)s) AND entity IN (
        SELECT entity FROM anomalies_series WHERE action = %(other)s AND metric = 'requests')
      AND entity IN (SELECT entity FROM tally WHERE kind = 'agent')
) AS last
WHERE last.number = %(most)s AND t.kind = 'agent' AND t.entity = last.entity AND t.action <> ''
  AND (length(t.action), t.action COLLATE "C") > (length(last.action), last.action COLLATE "C")
"""

_TOO_MANY = """
SELECT id FROM (
    SELECT id, dense_rank() OVER (PARTITION BY entity ORDER BY length(action), action COLLATE "C") AS number
    FROM anomalies_series
    WHERE kind = 'agent' AND entity = ANY(%(agents)s) AND action NOT IN ('', %(other)s)
) AS ranked
WHERE number > %(most)s
"""

_RENAME = """
UPDATE tally t SET action = %(other)s FROM anomalies_series s
WHERE s.id = ANY(%(ids)s) AND (t.kind, t.entity, t.action, t.metric) = (s.kind, s.entity, s.action, s.metric)
"""

# What lies beyond the horizon is not judged again.
_TOGETHER = """
INSERT INTO anomalies_series (kind, entity, action, metric, first_time, last_time, dirty_from, source_ids)
SELECT kind, entity, %(other)s, metric, min(first_time), max(last_time),
       greatest(min(first_time), max(last_time) - %(horizon)s::interval, max(judged_until) - %(horizon)s::interval),
       ARRAY(SELECT DISTINCT unnest(o.source_ids) AS id FROM anomalies_series o
             WHERE o.id = ANY(%(ids)s) AND (o.entity, o.metric) = (s.entity, s.metric) ORDER BY id)
FROM anomalies_series s WHERE id = ANY(%(ids)s) GROUP BY kind, entity, metric ORDER BY kind, entity, metric
ON CONFLICT (kind, entity, action, metric) DO UPDATE SET
    first_time = least(anomalies_series.first_time, excluded.first_time),
    last_time = greatest(anomalies_series.last_time, excluded.last_time),
    dirty_from = least(anomalies_series.dirty_from, excluded.dirty_from),
    source_ids = ARRAY(
        SELECT DISTINCT unnest(anomalies_series.source_ids || excluded.source_ids) AS id ORDER BY id)
"""

_BLOCKS = """
INSERT INTO anomalies_bucketblock (series_id, resolution_seconds, start, counts)
SELECT series_id, resolution_seconds, start, array_agg(total ORDER BY slot)
FROM (
    SELECT o.id AS series_id, b.resolution_seconds, b.start, slot, sum(count)::integer AS total
    FROM anomalies_bucketblock b
    JOIN anomalies_series s ON s.id = b.series_id
    JOIN anomalies_series o ON (o.kind, o.entity, o.metric) = (s.kind, s.entity, s.metric) AND o.action = %(other)s,
         unnest(b.counts) WITH ORDINALITY AS bucket (count, slot)
    WHERE s.id = ANY(%(ids)s)
    GROUP BY o.id, b.resolution_seconds, b.start, slot
) AS summed
GROUP BY series_id, resolution_seconds, start ORDER BY series_id, resolution_seconds, start
ON CONFLICT (series_id, resolution_seconds, start) DO UPDATE SET counts = ARRAY(
    SELECT mine + more FROM unnest(anomalies_bucketblock.counts, excluded.counts) WITH ORDINALITY AS t (mine, more, n)
    ORDER BY n)
"""


def name(cursor: CursorWrapper) -> None:
    """Name the actions of the tally as they are counted."""
    cursor.execute(_NAME, {"id_like": ID_LIKE})
    cursor.execute(_SPARE, {"other": OTHER, "most": MOST_ACTIONS})


def fold(cursor: CursorWrapper, agents: Sequence[str]) -> None:
    """Count the longest names of agents with too many actions together, those of the tally and what was counted."""
    parameters: dict[str, Any] = {
        "agents": list(agents),
        "other": OTHER,
        "most": MOST_ACTIONS,
        "horizon": LATE_HORIZON,
    }
    cursor.execute(_TOO_MANY, parameters)
    ids = [series_id for (series_id,) in cursor.fetchall()]
    if not ids:
        return
    for statement in (_RENAME, _TOGETHER, _BLOCKS):
        cursor.execute(statement, {**parameters, "ids": ids})
    Series.objects.filter(pk__in=ids).delete()


def counted(agent: Agent) -> str:
    """Say how many actions of an agent have counts of their own, and whether others are counted together."""
    names = Series.objects.filter(kind=Series.Kind.AGENT, entity=agent.public_id, metric=Series.Metric.REQUESTS)
    single = names.exclude(action__in=["", OTHER]).count()
    together = f", all with longer names together as {OTHER}" if names.filter(action=OTHER).exists() else ""
    return f"{single:,} one by one{together}"

"""What happened around anomalies, in 24 buckets each: the counts of the series that each of them tells of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import connection

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Series
from anomalies.services.counts import BLOCK_SECONDS

BUCKETS = 24
AFTER = 3  # of them after its end, where there was time for so many
HOUR, DAY = 3600, 86_400
# Types whose anomalies are about a series that is counted in another way.
COUNTED_AS = {"off_hours_slots": Series.Metric.REQUESTS}

_COUNTS = """
SELECT number, extract(epoch FROM start)::bigint, counts
FROM unnest(%(numbers)s::bigint[], %(kinds)s::text[], %(entities)s::text[], %(metrics)s::text[], %(widths)s::int[],
            %(firsts)s::timestamptz[], %(ends)s::timestamptz[])
     AS wanted (number, wanted_kind, wanted_entity, wanted_metric, width, first, "end")
JOIN anomalies_series s ON s.kind = wanted_kind AND s.entity = wanted_entity AND s.action = '' AND s.metric = wanted_metric
JOIN anomalies_bucketblock b ON b.series_id = s.id AND b.resolution_seconds = width AND b.start >= first AND b.start < "end"
"""  # noqa: E501  each join in a line


@dataclass(frozen=True, slots=True)
class Spark:
    """Counts of buckets side by side, oldest first; `anomalous` are those in which it lasted."""

    unit: str
    seconds: int  # of a bucket
    start: datetime
    counts: tuple[int, ...]
    anomalous: range


@dataclass(frozen=True, slots=True)
class _Wanted:
    metric: str
    seconds: int  # of a bucket
    stored: int  # of those that it is the sum of
    start: int
    marked: range

    @property
    def end(self) -> int:
        return self.start + BUCKETS * self.seconds


def sparks(anomalies: Collection[Anomaly], *, now: datetime) -> Mapping[int, Spark]:
    """Return by number what happened around each anomaly that tells of a series, at the resolution it deviates at.

    One statement for all of them. What is not stored at that resolution any more is left out.
    """
    wanted = {one.pk: found for one in anomalies if (found := _wanted(one, now))}
    if not wanted:
        return {}
    about = {one.pk: one for one in anomalies}
    counts = {number: np.zeros(BUCKETS, dtype=np.int64) for number in wanted}
    seen = set()
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNTS,
            {
                "numbers": list(wanted),
                "kinds": [about[number].kind for number in wanted],
                "entities": [about[number].entity for number in wanted],
                "metrics": [str(one.metric) for one in wanted.values()],
                "widths": [one.stored for one in wanted.values()],
                "firsts": [_time(one.start - one.start % BLOCK_SECONDS[one.stored]) for one in wanted.values()],
                "ends": [_time(one.end) for one in wanted.values()],
            },
        )
        for number, start, stored in cursor.fetchall():
            one = wanted[number]
            slots = (start + np.arange(len(stored)) * one.stored - one.start) // one.seconds
            shown = (slots >= 0) & (slots < BUCKETS)
            np.add.at(counts[number], slots[shown], np.asarray(stored)[shown])
            seen.add(number)
    return {
        number: Spark(one.metric, one.seconds, _time(one.start), tuple(counts[number].tolist()), one.marked)
        for number, one in wanted.items()
        if number in seen
    }


def _wanted(anomaly: Anomaly, now: datetime) -> _Wanted | None:
    detector = DETECTORS.get(anomaly.type)
    what = COUNTED_AS.get(detector.counts, detector.counts) if detector else ""
    if what not in Series.Metric.values:
        return None
    stored = anomaly.resolution_seconds if anomaly.resolution_seconds in BLOCK_SECONDS else HOUR
    seconds = DAY if anomaly.resolution_seconds >= DAY else stored
    last = min(anomaly.active_until + timedelta(seconds=AFTER * seconds), max(now, anomaly.active_until))
    end = -(-int(last.timestamp()) // seconds) * seconds
    start = end - BUCKETS * seconds
    first = max(0, int(anomaly.started_at.timestamp() - start) // seconds)
    until = -(-(int(anomaly.active_until.timestamp()) - start) // seconds)
    return _Wanted(what, seconds, stored, start, range(min(first, until - 1), until))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

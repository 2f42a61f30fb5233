"""How late a source's events are: from the delays of each batch to the delay that 99 of 100 events keep within.

Delays are counted by class: half a second up to 48 h, each class 1.41 times as long as the one before. Counts of a UTC
day are summed, so that neither the order of batches nor their size makes a difference. A file that somebody reads in
tells nothing of how fast its source is, nor does an event that nobody would wait for any more: neither is counted.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from anomalies.detection.lateness import LATE_SECONDS
from anomalies.models import Source, SourceLag

LATE_HORIZON = timedelta(seconds=LATE_SECONDS)
CLASSES = 36  # of which the first is a second long; the last ends beyond the horizon
KEPT_WITHIN = 0.99  # of the events
LATELY_DAYS = 3  # with today
LEAST_LAG = 120.0  # seconds; by so much also the fastest source's events may come after their time

# The sources that are slower than `LEAST_LAG` and sent anything lately.
_SLOW = """
SELECT id, lag_seconds FROM anomalies_source
WHERE lag_seconds > %(least_lag)s AND received_at >= %(now)s - make_interval(days => %(lately_days)s)
"""

# For how long the events of a series are waited for at the time `now`: as its slowest source needs. Hardly any series
# needs the subquery, and the array is made once.
WAITED = f"""
CASE WHEN source_ids = '{{}}' THEN greatest(lag_seconds, %(least_lag)s)
WHEN source_ids && ARRAY(SELECT id FROM ({_SLOW}) AS slow) THEN (
    SELECT max(slow.lag_seconds) FROM ({_SLOW}) AS slow WHERE slow.id = ANY(source_ids))
ELSE %(least_lag)s END
"""  # noqa: S608  our own
OF_WAITED = {"least_lag": LEAST_LAG, "lately_days": LATELY_DAYS}

_ADD = """
INSERT INTO anomalies_sourcelag (source_id, day, counts) VALUES (%s, %s, %s)
ON CONFLICT (source_id, day) DO UPDATE SET counts = ARRAY(
    SELECT mine + more FROM unnest(anomalies_sourcelag.counts, excluded.counts) WITH ORDINALITY AS t (mine, more, n)
    ORDER BY n)
"""


@dataclass(frozen=True, slots=True)
class Delays:
    """Those of one batch."""

    source_id: int
    received_at: datetime
    counts: Sequence[int]


def classified(seconds: NDArray[np.float64]) -> list[int]:
    """Return how many delays fall into each class.

    Those beyond the horizon fall into none, those of clocks ahead of ours into the first.
    """
    within = np.maximum(seconds[seconds <= LATE_HORIZON.total_seconds()], 1.0)
    counts: list[int] = np.bincount(np.ceil(2 * np.log2(within)).astype(np.intp), minlength=CLASSES).tolist()
    return counts


def lag_of(counts: NDArray[np.int64]) -> float:
    """Return the end of the class within which 99 % of the delays are, in seconds; 0 for none."""
    if not counts.sum():
        return 0.0
    number = int(np.searchsorted(np.cumsum(counts), KEPT_WITHIN * counts.sum()))
    return min(float(2 ** (number / 2)), LATE_HORIZON.total_seconds())


def learn(batches: Sequence[Delays]) -> Mapping[int, float]:
    """Add the delays to those of their days, and return the lag of each source that has any, in seconds."""
    sums: dict[tuple[int, date], NDArray[np.int64]] = defaultdict(lambda: np.zeros(CLASSES, dtype=np.int64))
    for batch in batches:
        sums[batch.source_id, batch.received_at.date()] += np.array(batch.counts)
    with connection.cursor() as cursor:
        for (source_id, day), counts in sorted(sums.items(), key=lambda item: item[0]):
            cursor.execute(_ADD, [source_id, day, counts.tolist()])
    return {source_id: _lately(source_id) for source_id in sorted({source_id for source_id, _ in sums})}


def keep(lags: Mapping[int, float]) -> None:
    """Store the lag of each source."""
    for source_id, seconds in lags.items():
        Source.objects.filter(pk=source_id).update(lag_seconds=seconds)


def slow(*, at: datetime) -> dict[int, float]:
    """Return the lag of each source slower than `LEAST_LAG` that sent anything lately, in seconds, by its id."""
    with connection.cursor() as cursor:
        cursor.execute(_SLOW, {"now": at, **OF_WAITED})
        return dict(cursor.fetchall())


def _lately(source_id: int) -> float:
    days = SourceLag.objects.filter(source_id=source_id).order_by("-day")[:LATELY_DAYS]
    return lag_of(np.sum([day.counts for day in days], axis=0, dtype=np.int64))

"""How long a scan takes beside the least that could count the same: plain rows of buckets, upserted.

The bare reference has its buckets in one narrow table, of this day only, however long our history is: its index fits
into memory, and nobody looks at what it counted.
"""

from datetime import timedelta

import numpy as np
from django.db import connection

from anomalies.models import Batch, Scan, Series
from anomalies.services import counts, histories, scans
from tests.benchmarks import rows
from tests.benchmarks.turns import Seconds, alone, compared, of_turns, seconds

TICK = timedelta(minutes=5)

# Each resolution is a sum of minutes: one pass over the events.
_BARE_MINUTES = """
SELECT CASE GROUPING(agent_id, principal_id, ip)
           WHEN 3 THEN 'agent' WHEN 5 THEN 'principal' WHEN 6 THEN 'address' ELSE 'tenant' END AS kind,
       coalesce(agent_id, principal_id, host(ip), 'all') AS entity, coalesce(action, '') AS action,
       date_bin('1 minute', time, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS slot,
       count(*) AS requests, count(*) FILTER (WHERE status <> 'success') AS failures
FROM anomalies_event WHERE {which}
GROUP BY GROUPING SETS ((4, agent_id), (4, agent_id, action), (4, principal_id), (4, ip), (4))
"""
_BARE_BUCKETS = """
SELECT kind, entity, action, metric, width,
       date_bin(make_interval(secs => width), slot, TIMESTAMPTZ '2000-01-01 00:00:00+00'), sum(amount) AS amount
FROM minutes, LATERAL (VALUES ('requests', requests), ('failures', failures)) AS metrics (metric, amount),
     (VALUES (60), (300), (3600)) AS widths (width)
WHERE amount > 0 GROUP BY 1, 2, 3, 4, 5, 6
"""
_BARE_TABLE = """
CREATE TABLE bare_bucket (
    kind text, entity text, action text, metric text, width integer, start timestamptz, amount bigint,
    PRIMARY KEY (kind, entity, action, metric, width, start))
"""
_BARE_UPSERT = f"""
WITH minutes AS MATERIALIZED ({_BARE_MINUTES.format(which="batch_id = ANY(%(ids)s) AND time >= %(first)s")})
INSERT INTO bare_bucket {_BARE_BUCKETS}
ON CONFLICT (kind, entity, action, metric, width, start) DO UPDATE SET amount = bare_bucket.amount + excluded.amount
"""
_BARE_COUNT = f"""
CREATE TABLE bare_counted AS
WITH minutes AS MATERIALIZED ({_BARE_MINUTES.format(which="true")}) {_BARE_BUCKETS}
"""


def new_events(*, events: int = 100_000, agents: int = 5000, days: int = 60, rounds: int = 3) -> Seconds:
    """Return how long a scan of new events takes, and the bare upsert of the same into buckets."""
    rows.history(agents, days=days)
    now = rows.TODAY
    ids: list[int] = []

    def before() -> None:
        nonlocal now
        ids[:] = rows.events(events, agents=agents, start=now, span=TICK)
        now += TICK

    def ours() -> None:
        scan = scans.run(now=now, trigger=Scan.Trigger.COMMAND)
        assert scan.events_counted == events
        assert not scan.series_failed

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(_BARE_UPSERT, {"ids": ids, "first": rows.TODAY})

    with connection.cursor() as cursor:
        cursor.execute(_BARE_TABLE)
    try:
        return compared(ours, bare, rounds=rounds, before=before)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE bare_bucket")
        rows.empty()


def nothing_new(*, agents: int = 5000, days: int = 60, rounds: int = 20) -> Seconds:
    """Return how long a scan takes that finds no new events, after one that did."""
    rows.history(agents, days=days)
    rows.events(agents, agents=agents, start=rows.TODAY, span=TICK)
    now = rows.TODAY + 2 * TICK
    try:
        scans.run(now=now, trigger=Scan.Trigger.COMMAND)
        return alone(lambda: scans.run(now=now, trigger=Scan.Trigger.COMMAND), rounds=rounds)
    finally:
        rows.empty()


def from_scratch(*, events: int = 10_000_000, agents: int = 500, days: int = 30, rounds: int = 1) -> Seconds:
    """Return how long it takes to count events of which none was counted, and the bare GROUP BY of the same.

    Batches are as large as those of files. Whoever comes second finds what the events table has in memory; an
    unmeasured look at all of it comes before both.
    """
    rows.actors(agents, days=days)
    span = timedelta(days=days)
    rows.events(events, agents=agents, start=rows.TODAY - span, span=span, a_batch=50_000)

    def ours() -> None:
        while counts.count_some().batches:
            pass

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS bare_counted")
            cursor.execute(_BARE_COUNT)

    try:
        turns = []
        for turn in range(rounds):
            rows.empty(["anomalies_series", "anomalies_agentprincipal"])
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(metadata) FROM anomalies_event")
            Batch.objects.update(counted_at=None)
            both = (ours, bare) if turn % 2 else (bare, ours)
            took = {work: seconds(work) for work in both}
            turns.append((took[ours], took[bare]))
        return of_turns(turns)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS bare_counted")
        rows.empty()


def into_numpy(*, series: int = 5000, days: int = 60, rounds: int = 5) -> Seconds:
    """Return how long it takes until the hours of so many series are matrices."""
    rows.history(series, days=days, widths=[3600])
    known = Series.objects.filter(kind="agent", action="", metric="requests").values_list("id", "entity")
    wanted = histories.Rows(
        tuple(range(len(known))), ("",) * len(known), np.zeros(len(known)), np.zeros(len(known)),
        {series_id: (row, "requests") for row, (series_id, _) in enumerate(known)},
    )  # fmt: skip
    first, last = (rows.TODAY - timedelta(days=days)).date(), rows.TODAY.date()
    try:
        return alone(lambda: histories.counts_of(wanted, 3600, first, last), rounds=rounds)
    finally:
        rows.empty()

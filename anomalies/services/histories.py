"""From rows to what detectors look at: `History` and all in it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.db import connection
from django.db.models import Q
from numpy.typing import NDArray

from anomalies.detection.baseline import FIVES_DAYS, MINUTES_DAYS
from anomalies.detection.history import DAY, HOUR, Attempts, Calendar, Counts, History, Meeting, Peers
from anomalies.detection.lateness import SETTLED_DAYS
from anomalies.detection.prior import MOST_YOUNG_DAYS, TENANT_DAYS
from anomalies.models import Agent, Series
from anomalies.services import access_requests, logins, rules
from anomalies.services.copying import copying
from anomalies.services.counts import BLOCK_SECONDS
from anomalies.services.lags import LATE_HORIZON, LEAST_LAG, slow

HISTORY_DAYS = 90  # that the longest fit may read
SILENT = timedelta(days=3)  # after its last event, in which an entity may be missed: then silence is its level
MANY_FAILURES = 10  # within an hour, from which the attempts themselves are read,
FAILING_SHARE = 0.3  # if they are that much of the hour
MOST_PEERS = 64  # of a group, that newcomers are held against: of more, those whose ids come first by their hash
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC).timestamp()

# A few rows, however many series there are: receiving a row costs far more than the bytes in it.
_BLOCKS = """
COPY (
    SELECT string_agg(int8send(series_id) || timestamptz_send(start) || array_send(counts), '')
    FROM anomalies_bucketblock
    WHERE series_id = ANY(%s) AND resolution_seconds = %s AND start >= %s AND start < %s
    GROUP BY series_id %% 16
) TO STDOUT (FORMAT BINARY)
"""

# What came with a meeting is looked up only for those that are to be judged. Of other agents only what is settled
# counts: what comes late of them is no reason to judge this one again. The bounds that are the same for all rows let
# the planner leave out the partitions of other days: it cannot do so by those of each row.
_MEETINGS = """
SELECT ap.agent_id, ap.principal_id, ap.first_seen, coalesce(e.status <> 'success', false),
       e.ip IS NOT NULL AND NOT EXISTS (
           SELECT FROM anomalies_event o
           WHERE o.agent_id = ap.agent_id AND o.ip = e.ip AND o.time < ap.first_seen
             AND o.time >= ap.first_seen - make_interval(days => %(past_days)s)
             AND o.time >= %(past)s AND o.time < %(until)s),
       coalesce(e.country, '') <> '' AND NOT EXISTS (
           SELECT FROM anomalies_event o
           WHERE o.agent_id = ap.agent_id AND o.country = e.country AND o.time < ap.first_seen
             AND o.time >= ap.first_seen - make_interval(days => %(past_days)s)
             AND o.time >= %(past)s AND o.time < %(until)s),
       CASE WHEN e.status IS NULL THEN 0 ELSE (
           SELECT count(*) FROM anomalies_agentprincipal k
           WHERE k.principal_id = ap.principal_id AND k.agent_id <> ap.agent_id
                AND k.first_seen < ap.first_seen - %(late)s::interval)
           / greatest(1, (SELECT count(*) FROM anomalies_agent a
                          WHERE a.public_id <> ap.agent_id
                            AND a.first_seen < ap.first_seen - %(late)s::interval))::float8 END
FROM anomalies_agentprincipal ap
LEFT JOIN LATERAL (
    SELECT status, ip, country FROM anomalies_event e
    WHERE e.agent_id = ap.agent_id AND e.principal_id = ap.principal_id AND e.time = ap.first_seen
      AND e.time >= %(judged)s AND e.time < %(until)s
    ORDER BY e.external_id LIMIT 1
) AS e ON true
WHERE ap.agent_id = ANY(%(agents)s) AND ap.first_seen >= %(since)s AND ap.first_seen < %(until)s
ORDER BY ap.first_seen, ap.principal_id
"""

# Addresses and principals keep the hours of the agent that they came by first, at a time that is known.
_ZONES_OF_PRINCIPALS = """
SELECT entity, (
    SELECT a.time_zone FROM anomalies_agentprincipal m JOIN anomalies_agent a ON a.public_id = m.agent_id
    WHERE m.principal_id = entity ORDER BY m.first_seen, m.agent_id LIMIT 1)
FROM unnest(%(entities)s::text[]) AS entity
"""
_ZONES_OF_ADDRESSES = """
SELECT entity, (
    SELECT a.time_zone FROM anomalies_event e JOIN anomalies_agent a ON a.public_id = e.agent_id
    WHERE e.ip = entity AND e.time = first_time AND e.time = ANY(%(times)s::timestamptz[]) ORDER BY e.agent_id LIMIT 1)
FROM unnest(%(entities)s::inet[], %(times)s::timestamptz[]) AS first (entity, first_time)
"""

# Members are chosen before it is known who of them did anything: so those are the same in whatever order events come.
_PEERS = """
SELECT member."group", s.id, s.first_time
FROM (SELECT public_id, "group", row_number() OVER (PARTITION BY "group" ORDER BY md5(public_id)) AS number
      FROM anomalies_agent
      WHERE "group" IN (SELECT "group" FROM anomalies_agent WHERE public_id = ANY(%(agents)s) AND "group" <> '')
     ) AS member
JOIN anomalies_series s
  ON s.kind = 'agent' AND s.entity = member.public_id AND s.action = '' AND s.metric = 'requests'
WHERE number <= %(most)s
ORDER BY member."group", number
"""

# Each entity's from its own time on, whoever else is looked at; the bound of all lets the planner leave out partitions.
_ATTEMPTS = """
SELECT {entity}, extract(epoch FROM time)::float8, status <> 'success', coalesce({partner}, '')
FROM unnest(%(entities)s::{type}[], %(sinces)s::timestamptz[]) AS suspect (entity, since)
JOIN anomalies_event ON {column} = entity AND time >= since
WHERE time >= %(earliest)s AND time < %(until)s
ORDER BY 1, time, status = 'success', external_id
"""


@dataclass(frozen=True, slots=True)
class Window:
    """From when an entity is to be judged, between which times it has events, and how many series it has."""

    entity: str
    judge_from: datetime
    first_time: datetime
    last_time: datetime
    series: int = 1
    alone: bool = False  # no anomaly that it may go on with, or take part in
    past_changed: bool = True  # events came since it was looked at, of days before


@dataclass(frozen=True, slots=True)
class Rows:
    """The series of a history, one a row: those of all actions of each entity first."""

    entity: tuple[int, ...]  # number of each row's entity
    actions: tuple[str, ...]
    first_time: NDArray[np.float64]
    lag: NDArray[np.float64]  # seconds
    row_of: Mapping[int, tuple[int, str]]  # id of a series: its row, and what it counts


def of_counts(kind: str, windows: Sequence[Window], *, until: datetime, actions: bool = True) -> History:
    """Return what the counts alone tell of entities, up to `until`: no event is read. `windows` is not empty.

    Without `actions`, nothing of single ones.
    """
    entities = tuple(window.entity for window in windows)
    earliest = min(window.judge_from for window in windows)
    known = min(window.first_time for window in windows)
    last_day = min(until, max(max(window.last_time + SILENT, window.judge_from) for window in windows)).date()

    def since(days: int) -> date:
        return min(max(known.date(), earliest.date() - timedelta(days=days)), last_day)

    rows = rows_of(kind, windows, earliest if actions else None, slow(at=until))
    hours = counts_of(rows, 3600, since(HISTORY_DAYS), last_day)
    judge_from = np.array([window.judge_from.timestamp() for window in windows])
    tenant_day = min(earliest.date() - timedelta(days=HISTORY_DAYS), last_day)
    return History(
        kind=kind,
        entities=tuple(entities[number] for number in rows.entity),
        actions=rows.actions,
        until=until.timestamp(),
        judge_from=judge_from[list(rows.entity)],
        first_time=rows.first_time,
        hours=hours,
        fives=counts_of(rows, 300, since(FIVES_DAYS), last_day),
        minutes=counts_of(rows, 60, since(MINUTES_DAYS), last_day, failures=False),
        calendar=_calendar(kind, entities, [window.first_time for window in windows], rows, hours),
        tenant=counts_of(_tenant(), 3600, tenant_day, last_day),
        meetings=(),
        attempts={},
        peers=_peers(windows, last_day) if kind == Series.Kind.AGENT else {},
        lag=rows.lag,
    )


def load(kind: str, windows: Sequence[Window], *, until: datetime, replayed: bool = False) -> History:
    """Return the history of entities of one kind, up to `until`. `windows` is not empty.

    `replayed`: with custom rules as if each had always been in force, and each source as if it were as fast as any.
    """
    history = of_counts(kind, windows, until=until)
    entities = tuple(window.entity for window in windows)
    earliest = min(window.judge_from for window in windows)
    judge_from = np.array([window.judge_from.timestamp() for window in windows])
    judged = {window.entity: window.judge_from for window in windows}
    signed_in, pasts = logins.facts(judged, until=until) if kind == Series.Kind.PRINCIPAL else ({}, {})
    first_day = datetime.fromtimestamp(history.hours.start, UTC).date()
    is_agent = kind == Series.Kind.AGENT
    return replace(
        history,
        meetings=_meetings(entities, first_day, earliest, until) if is_agent else (),
        attempts=_attempts(kind, entities, history.fives, judge_from, until) if not is_agent else {},
        logins=signed_in,
        pasts=pasts,
        requests=access_requests.facts(judged, since=earliest, until=until) if kind == Series.Kind.PRINCIPAL else {},
        rules=rules.facts(judged, until=until, replayed=replayed) if is_agent else (),
        lag=np.full(len(history.entities), LEAST_LAG) if replayed else history.lag,
    )


def rows_of(kind: str, windows: Sequence[Window], earliest: datetime | None, slowness: Mapping[int, float]) -> Rows:
    """Return all series of the entities, of single actions those that did anything since `earliest`, if it is given."""
    number = {window.entity: n for n, window in enumerate(windows)}
    known = (
        Series.objects.filter(kind=kind, entity__in=list(number))
        .filter(Q(action="") | Q(last_time__gte=earliest) if earliest else Q(action=""))
        .values_list("id", "entity", "action", "metric", "first_time", "source_ids")
    )
    lag: dict[tuple[int, str], float] = {}
    first_time = {(n, ""): window.first_time.timestamp() for n, window in enumerate(windows)}
    series: dict[int, tuple[tuple[int, str], str]] = {}
    for series_id, entity, action, metric, first, source_ids in known:
        key = (number[entity], action)
        series[series_id] = key, metric
        lag[key] = max([lag.get(key, LEAST_LAG), *(slowness[one] for one in source_ids if one in slowness)])
        first_time[key] = min(first_time.get(key, np.inf), first.timestamp())
    keys = sorted(first_time, key=lambda key: (key[1] != "", key))
    row = {key: n for n, key in enumerate(keys)}
    return Rows(
        entity=tuple(entity for entity, _ in keys),
        actions=tuple(action for _, action in keys),
        first_time=np.array([first_time[key] for key in keys]),
        lag=np.array([lag.get(key, LEAST_LAG) for key in keys]),
        row_of={series_id: (row[key], metric) for series_id, (key, metric) in series.items()},
    )


def _tenant() -> Rows:
    known = Series.objects.filter(kind=Series.Kind.TENANT).values_list("id", "metric")
    return Rows((0,), ("",), np.zeros(1), np.zeros(1), {series_id: (0, metric) for series_id, metric in known})


def _peers(windows: Sequence[Window], last_day: date) -> dict[str, Peers]:
    """Return the group of each agent that is young when it is judged, with the hours by which newcomers are judged."""
    young = timedelta(days=MOST_YOUNG_DAYS + 1)  # it is judged from the begin of that day on
    newcomers = [window for window in windows if window.judge_from < window.first_time + young]
    group_of = dict(
        Agent.objects.filter(public_id__in=[window.entity for window in newcomers])
        .exclude(group="")
        .values_list("public_id", "group")
    )
    if not group_of:
        return {}
    members: dict[str, list[tuple[int, datetime]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_PEERS, {"agents": list(group_of), "most": MOST_PEERS})
        for group, series_id, first_time in cursor.fetchall():
            members[group].append((series_id, first_time))
    came = [window.first_time.date() for window in newcomers if window.entity in group_of]
    last = min(last_day, max(came) + young)
    first = min(min(came) - timedelta(days=SETTLED_DAYS + TENANT_DAYS), last)
    found = {}
    for group, mine in members.items():
        n = len(mine)
        first_time = np.array([time.timestamp() for _, time in mine])
        row_of = {series_id: (row, str(Series.Metric.REQUESTS)) for row, (series_id, _) in enumerate(mine)}
        hours = counts_of(Rows(tuple(range(n)), ("",) * n, first_time, np.zeros(n), row_of), HOUR, first, last)
        found[group] = Peers(group, hours.start, hours.requests, first_time)
    return {agent: found[group] for agent, group in group_of.items() if group in found}


def counts_of(
    rows: Rows, width: int, first_day: date, last_day: date, *, since: datetime | None = None, failures: bool = True
) -> Counts:
    """Return the buckets of whole days by one binary COPY: every block in it has the same length.

    `since`: blocks that end before are not read; their buckets are 0. Nor are failures, unless they are asked for.
    """
    days = (last_day - first_day).days + 1
    start = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
    block_seconds = BLOCK_SECONDS[width]
    a_block = block_seconds // width
    record = np.dtype(
        [
            ("id", ">i8"),
            ("start", ">i8"),  # microseconds
            ("array_header", ">i4", 5),
            ("counts", [("bytes", ">i4"), ("count", ">i4")], a_block),
        ]
    )
    blocks_known = days * 86400 // block_seconds
    matrices = {
        metric: np.zeros((len(rows.actions), blocks_known, a_block), dtype=np.int32) for metric in Series.Metric.values
    }
    wanted = [one for one, (_, metric) in rows.row_of.items() if failures or metric == Series.Metric.REQUESTS]
    first = start if since is None else max(start, since - timedelta(seconds=block_seconds - 1))
    with copying(_BLOCKS, [wanted, width, first, start + timedelta(days=days)]) as copy:
        copy.set_types(["bytea"])
        blocks = np.frombuffer(b"".join(content for (content,) in copy.rows()), dtype=record)
    ids, inverse = np.unique(blocks["id"], return_inverse=True)
    place = [rows.row_of[int(series_id)] for series_id in ids]
    row = np.array([row for row, _ in place], dtype=np.intp)[inverse]
    metrics = np.array([metric for _, metric in place], dtype=np.str_)[inverse]
    block = ((blocks["start"] / 1e6 + POSTGRES_EPOCH - start.timestamp()) // block_seconds).astype(np.intp)
    for metric, matrix in matrices.items():
        mine = metrics == metric
        matrix[row[mine], block[mine]] = blocks["counts"]["count"][mine]
    both = (matrices[metric].reshape(len(rows.actions), -1) for metric in Series.Metric.values)
    return Counts(start.timestamp(), width, *both)


def _calendar(
    kind: str, entities: Sequence[str], first_times: Sequence[datetime], series: Rows, hours: Counts
) -> Calendar:
    """Return the hours as each entity's clock shows them: its own zone and holidays, or its agent's zone."""
    n, t = len(entities), hours.requests.shape[1]
    hour_of_week = np.zeros((n, t), dtype=np.int16)
    free = np.zeros((n, t), dtype=np.bool_)
    configured = np.zeros(n, dtype=np.bool_)
    at_work = np.zeros((n, t), dtype=np.bool_)
    by_zone: dict[str, list[int]] = defaultdict(list)
    agents: dict[int, Agent] = {}
    if kind == Series.Kind.AGENT:
        known = Agent.objects.in_bulk(list(entities), field_name="public_id")
        agents = {row: known[entity] for row, entity in enumerate(entities) if entity in known}
    zones = {agent.public_id: agent.time_zone for agent in agents.values()} or zones_of(kind, entities, first_times)
    of_entity = tuple(zones.get(entity) or "UTC" for entity in entities)
    for row, zone in enumerate(of_entity):
        by_zone[zone].append(row)
    for zone, rows in by_zone.items():
        week, dates = _local(hours.starts, zone)
        last_week, last_dates = _local(hours.starts + HOUR - 1, zone)
        hour_of_week[rows] = week
        free[rows] = week // 24 >= 5
        for row in rows:
            if row in agents:
                agent = agents[row]
                holidays = [date.fromisoformat(day).toordinal() for day in agent.holidays]
                free[row] |= np.isin(dates, holidays)
                if agent.working_hours is not None:
                    configured[row] = True
                    # An hour of UTC in which work begins or ends, by a clock off by half an hour, is at work.
                    at_work[row] = (_at_work(week, agent.working_hours) & ~np.isin(dates, holidays)) | (
                        _at_work(last_week, agent.working_hours) & ~np.isin(last_dates, holidays)
                    )
    of_row = list(series.entity)
    return Calendar(
        tuple(of_entity[number] for number in of_row),
        hour_of_week[of_row],
        free[of_row],
        configured[of_row],
        at_work[of_row],
    )


def zones_of(kind: str, entities: Sequence[str], first_times: Sequence[datetime]) -> dict[str, str]:
    """Return the time zone of the agent that addresses or principals came by first, of those where it is known."""
    statements = {Series.Kind.PRINCIPAL: _ZONES_OF_PRINCIPALS, Series.Kind.ADDRESS: _ZONES_OF_ADDRESSES}
    if kind not in statements:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(statements[Series.Kind(kind)], {"entities": list(entities), "times": list(first_times)})
        return {str(entity): zone for entity, zone in cursor.fetchall()}


def _local(starts: NDArray[np.float64], zone: str) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Return the local hour of the week (0 is Monday 00:00) and the date (ordinal) of each time."""
    tz = ZoneInfo(zone)
    offsets = np.array(
        [datetime.fromtimestamp(start, tz).utcoffset().total_seconds() for start in starts.tolist()]  # type: ignore[union-attr]  # aware
    )
    local = starts + offsets
    days = (local // DAY).astype(np.int64)
    week = (days + 3) % 7 * 24 + (local % DAY // HOUR).astype(np.int64)  # 1970-01-01 was a Thursday
    return week.astype(np.int16), days + date(1970, 1, 1).toordinal()


def _at_work(week: NDArray[np.int16], working_hours: Mapping[str, Sequence[int]]) -> NDArray[np.bool_]:
    at_work = np.zeros(week.shape, dtype=np.bool_)
    for weekday, (first, last) in working_hours.items():
        at_work |= (week >= 24 * int(weekday) + first) & (week < 24 * int(weekday) + last)
    return at_work


def _meetings(agents: Sequence[str], first_day: date, earliest: datetime, until: datetime) -> tuple[Meeting, ...]:
    with connection.cursor() as cursor:
        since = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
        judged = earliest - timedelta(hours=1)
        parameters: dict[str, Any] = {
            "agents": list(agents),
            "judged": judged,
            "past": judged - timedelta(days=HISTORY_DAYS),
            "past_days": HISTORY_DAYS,
            "since": since,
            "until": until,
            "late": LATE_HORIZON,
        }
        cursor.execute(_MEETINGS, parameters)
        return tuple(
            Meeting(
                agent=agent,
                principal=principal,
                time=first_seen.timestamp(),
                failed=failed,
                new_address=new_address,
                new_country=bool(new_country),
                known_share=known_share,
            )
            for agent, principal, first_seen, failed, new_address, new_country, known_share in cursor.fetchall()
        )


def _attempts(
    kind: str, entities: Sequence[str], fives: Counts, judge_from: NDArray[np.float64], until: datetime
) -> dict[str, Attempts]:
    """Return the attempts of the entities with many failures within an hour that is to be judged."""
    suspects = suspects_of(fives, judge_from)
    if not len(suspects):
        return {}
    sinces = [datetime.fromtimestamp(since - 2 * HOUR, UTC) for since in judge_from[suspects].tolist()]
    address = kind == Series.Kind.ADDRESS
    query = _ATTEMPTS.format(
        entity="host(ip)" if address else "principal_id",
        column="ip" if address else "principal_id",
        partner="principal_id" if address else "host(ip)",
        type="inet" if address else "text",
    )
    by_entity: dict[str, list[tuple[float, bool, str]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            query,
            {
                "entities": [entities[row] for row in suspects.tolist()],
                "sinces": sinces,
                "earliest": min(sinces),
                "until": until,
            },
        )
        for entity, time, failed, partner in cursor.fetchall():
            by_entity[entity].append((time, failed, partner))
    return {
        entity: Attempts(
            times=np.array([time for time, _, _ in rows]),
            failed=np.array([failed for _, failed, _ in rows]),
            partners=np.array([partner for _, _, partner in rows]),
        )
        for entity, rows in by_entity.items()
    }


def suspects_of(fives: Counts, judge_from: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the rows with many failures within an hour that is to be judged."""
    failures, requests = _within_an_hour(fives.failures), _within_an_hour(fives.requests)
    due = fives.starts[None, :] + HOUR + fives.width > judge_from[:, None]
    suspicious = (failures >= MANY_FAILURES) & (failures >= FAILING_SHARE * requests) & due
    return np.flatnonzero(suspicious.any(axis=1))


def _within_an_hour(counts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sum (n, t) counts of 5 minutes over each bucket and the hour before it."""
    total = np.cumsum(counts, axis=1, dtype=np.int64)
    total[:, 13:] -= total[:, :-13].copy()
    return total

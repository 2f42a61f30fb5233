"""Glances: from rows to what screens look at, and which entities are worth a close look."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
from django.db import connection

from anomalies.detection.history import DAY, HOUR, Calendar, Counts, History
from anomalies.detection.screening import Glance, News
from anomalies.models import Series
from anomalies.services import histories, outlooks, rules
from anomalies.services.detectors import Judges
from anomalies.services.lags import slow

LEVEL_DAYS = 3  # before the day, of which the hours tell the level
LOOK_BACK = timedelta(hours=2)  # in which failures add up with those of the hour

_MET = """
SELECT DISTINCT agent_id FROM anomalies_agentprincipal
JOIN unnest(%s::text[], %s::timestamptz[]) AS judged (agent, since) ON agent_id = agent AND first_seen >= since
"""
_LOGGED_IN = """
SELECT principal FROM unnest(%s::text[], %s::timestamptz[]) AS judged (principal, since)
WHERE EXISTS (
    SELECT FROM anomalies_sighting n
    WHERE n.principal_id = principal AND n.day >= (since AT TIME ZONE 'UTC')::date AND n.last_seen >= since)
"""
_ASKED = """
SELECT DISTINCT requester_id FROM anomalies_accessrequest
JOIN unnest(%s::text[], %s::timestamptz[]) AS judged (principal, since)
    ON requester_id = principal AND updated_at >= since
"""


def unremarkable(
    kind: str, windows: Sequence[histories.Window], judges: Judges, *, until: datetime
) -> list[histories.Window]:
    """Return those of which no detector can have anything new to say; all are judged from that UTC day on.

    Whoever has no outlook for the day, or one made by another calendar, is not among them.
    """
    day = until.astimezone(UTC).date()
    since = min(window.judge_from for window in windows)
    rows = histories.rows_of(kind, windows, since, slow(at=until))
    known, complete = outlooks.known(rows, judges, outlooks.calendars(kind, windows), day)
    history = _history(kind, windows, rows, until)
    glance = Glance(history, known, _news(kind, windows, history))
    remarkable = judges.screen(glance) | ~complete
    worth = {rows.entity[row] for row in np.flatnonzero(remarkable).tolist()}
    return [window for number, window in enumerate(windows) if number not in worth]


def prepare(
    kind: str, windows: Sequence[histories.Window], history: History, judges: Judges, *, until: datetime
) -> None:
    """Keep the outlooks for the day of those that were looked at closely, for the glances of the rest of that day.

    Those that have them keep them, unless what they are made of has changed; of a history that ends before that day
    none is made, and what was made before that change is dropped.
    """
    day = until.astimezone(UTC).date()
    since = min(window.judge_from for window in windows)
    if datetime.fromtimestamp(history.hours.end - DAY, UTC).date() != day:
        outlooks.drop(kind, [window.entity for window in windows if window.past_changed])
        return
    rows = histories.rows_of(kind, windows, since, slow(at=until))
    calendars = outlooks.calendars(kind, windows)
    _, complete = outlooks.known(rows, judges, calendars, day)
    lacking = {rows.entity[row] for row in np.flatnonzero(~complete).tolist()}
    wanted = lacking | {number for number, window in enumerate(windows) if window.past_changed}
    if wanted:
        outlooks.keep(history, rows, judges, calendars, wanted, day)


def _history(kind: str, windows: Sequence[histories.Window], rows: histories.Rows, until: datetime) -> History:
    day, n = until.astimezone(UTC).date(), len(rows.entity)
    since = min(window.judge_from for window in windows)
    judge_from = np.array([window.judge_from.timestamp() for window in windows])
    nothing, nowhere = np.zeros((n, 0), dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    return History(
        kind=kind,
        entities=tuple(windows[number].entity for number in rows.entity),
        actions=rows.actions,
        until=until.timestamp(),
        judge_from=judge_from[list(rows.entity)],
        first_time=rows.first_time,
        hours=histories.counts_of(rows, HOUR, _before(day, LEVEL_DAYS), day),
        fives=histories.counts_of(rows, 300, _before(day, 1), day, since=since - LOOK_BACK),
        minutes=histories.counts_of(rows, 60, day, day, since=since, failures=False),
        calendar=Calendar(("UTC",) * n, nothing.astype(np.int16), nothing, nowhere, nothing),
        tenant=Counts(0.0, HOUR, *np.zeros((2, 1, 0), dtype=np.int32)),
        meetings=(),
        attempts={},
        lag=rows.lag,
    )


def _before(day: date, days: int) -> date:
    return day - timedelta(days=days)


def _news(kind: str, windows: Sequence[histories.Window], history: History) -> News:
    judged = {window.entity: window.judge_from for window in windows}
    if kind == Series.Kind.AGENT:
        return News(meetings=_of(_MET, judged), rules=_counted_enough(judged, history))
    attempts = {history.entities[row] for row in histories.suspects_of(history.fives, history.judge_from).tolist()}
    if kind == Series.Kind.ADDRESS:
        return News(attempts=attempts)
    return News(attempts=attempts, logins=_of(_LOGGED_IN, judged), requests=_of(_ASKED, judged))


def _of(query: str, judged: Mapping[str, datetime]) -> frozenset[str]:
    with connection.cursor() as cursor:
        cursor.execute(query, [list(judged), list(judged.values())])
        return frozenset(entity for (entity,) in cursor.fetchall())


def _counted_enough(judged: Mapping[str, datetime], history: History) -> set[str]:
    """Return the agents that made as many requests in a rule's window as it counts, whatever they were about."""
    found: set[str] = set()
    for agents, window_seconds, threshold in rules.limits():
        for row in history.totals:
            agent = history.entities[row]
            if agents and agent not in agents:
                continue
            first = history.hours.index(judged[agent].timestamp() - window_seconds)
            if first < 0 or history.hours.requests[row, first:].sum() >= threshold:
                found.add(agent)
    return found

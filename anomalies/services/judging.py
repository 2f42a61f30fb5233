"""Judging: which entities are due, and what becomes of each."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

from anomalies.detection.finding import Finding, plain
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Scan, Series
from anomalies.services import access, causes, glances, histories, metrics
from anomalies.services.actor import Actor
from anomalies.services.detectors import Judges
from anomalies.services.findings import Kept, keep
from anomalies.services.lags import LATE_HORIZON, OF_WAITED, WAITED
from anomalies.services.locks import Lock, call

logger = logging.getLogger(__name__)

LONGEST_GAP = timedelta(days=3)  # after which nothing belongs to an anomaly any more: so long may a level settle
KINDS = (Series.Kind.AGENT, Series.Kind.ADDRESS, Series.Kind.PRINCIPAL)  # in the order that `causes` needs
GLANCES_AT_ONCE = 4000  # series looked at in one transaction, of which little is read
SERIES_DAYS_AT_ONCE = 20_000  # in one transaction: bounds memory, and what a crash repeats
_PLURALS: dict[str, str] = {
    Series.Kind.AGENT: "agents",
    Series.Kind.ADDRESS: "addresses",
    Series.Kind.PRINCIPAL: "users",
}

Progress = Callable[[str, int, int], None]  # what is done, how much, of how much


def unseen(what: str, done: int, total: int) -> None:
    """Nobody watches."""


# Every entity of a kind that changed since it was looked at, or whose anomaly may have ended, or may share its cause
# with one that this scan changed; judged from the start of the anomalies on that could go on, so that what belongs
# together is seen together, and from the hour on that was under way when it was looked at. Also those that failed
# lately, when 5 minutes or an hour are complete since the last scan: a rate is judged as a whole; and agents without
# an event since an hour that is complete since then, for as long as silence may be a drop.
# md5: all workers part the entities alike.
_DUE = f"""
WITH related AS (
    SELECT a.entity, min(a.started_at) AS since
    FROM anomalies_anomaly c
    JOIN anomalies_anomaly a ON a.kind = %(kind)s
        AND a.started_at < c.active_until AND a.active_until > c.started_at
        AND (a.told_by <> '{{}}' OR a.explained_by <> '{{}}')
        AND (c.kind <> 'agent' OR a.agent_id IS NULL OR a.agent_id = c.entity)
        AND (c.kind <> 'address' OR a.ip IS NULL OR host(a.ip) = c.entity)
    WHERE c.last_scan_id > %(since)s AND c.kind <> %(kind)s
    GROUP BY a.entity
    UNION ALL
    SELECT m.entity, min(i.started_at)
    FROM anomalies_anomaly c
    JOIN anomalies_metric m ON m.anomaly_id = c.id AND m.kind = %(kind)s
    JOIN anomalies_interval i ON i.metric_id = m.id
    WHERE c.last_scan_id > %(since)s AND c.kind <> %(kind)s
    GROUP BY m.entity
), failing AS (
    SELECT entity
    FROM (
        SELECT failures.entity, failures.last_time, seen.until - make_interval(secs => waited.before) AS seen,
               date_bin('5 minutes', %(now)s - make_interval(secs => waited.now), TIMESTAMPTZ '2000-01-01 00:00:00+00')
                   AS complete
        FROM anomalies_series failures,
             (SELECT max(judged_until) AS until FROM anomalies_series WHERE kind = 'tenant') AS seen,
             LATERAL (
                 SELECT max({WAITED}) AS now, greatest(max(lag_seconds), %(least_lag)s) AS before FROM anomalies_series
                 WHERE kind = %(kind)s AND entity = failures.entity AND action = ''
             ) AS waited
        WHERE failures.kind = %(kind)s AND failures.action = '' AND failures.metric = 'failures'
          AND failures.last_time >= seen.until - interval '1 day'
    ) AS failed
    WHERE seen < complete AND last_time >= seen - interval '65 minutes'
), silent AS (
    SELECT entity
    FROM (
        SELECT entity, last_time, seen.until - make_interval(secs => greatest(lag_seconds, %(least_lag)s)) AS seen,
               date_trunc('hour', %(now)s - lag) AS complete
        FROM anomalies_series,
             make_interval(secs => {WAITED}) AS lag,
             (SELECT max(judged_until) AS until FROM anomalies_series WHERE kind = 'tenant') AS seen
        WHERE %(may_drop)s AND kind = %(kind)s AND action = '' AND metric = 'requests'
    ) AS agent
    WHERE last_time < complete AND seen < complete
      AND seen < date_trunc('day', last_time + %(silent)s::interval) + interval '1 day'
), due AS (
    SELECT entity, min(first_time) AS first_time, max(last_time) AS last_time,
           max(judged_until) AS judged_until, min(dirty_from) AS dirty_from,
           date_trunc('hour', max(judged_until) - make_interval(secs => greatest(max(lag_seconds), %(least_lag)s)))
               AS under_way,
           count(*) FILTER (WHERE metric = 'requests') AS series
    FROM anomalies_series
    WHERE kind = %(kind)s AND entity IN (
        SELECT entity FROM anomalies_series
        WHERE kind = %(kind)s AND dirty_from IS NOT NULL AND dirty_from < %(now)s
        UNION SELECT entity FROM anomalies_anomaly
        WHERE kind = %(kind)s AND state = 'open' AND merged_into_id IS NULL
        UNION SELECT entity FROM related
        UNION SELECT entity FROM failing
        UNION SELECT entity FROM silent
        UNION SELECT entity FROM anomalies_series WHERE kind = %(kind)s AND %(all)s)
    GROUP BY entity
), judged AS (
    SELECT *, CASE WHEN %(all)s OR judged_until IS NULL THEN first_time
        ELSE greatest(least(dirty_from, under_way), judged_until - %(horizon)s::interval) END AS judge_from
    FROM due
    WHERE %(shares)s = 1 OR ('x' || left(md5(entity), 7))::bit(28)::integer %% %(shares)s = %(share)s
)
SELECT entity, first_time, last_time, series, coalesce(dirty_from < judged_until - %(horizon)s::interval, false),
       least(judge_from, of_cause.since, of_own.since),
       of_cause.since IS NULL AND of_own.since IS NULL AND NOT EXISTS (
           SELECT FROM anomalies_metric m JOIN anomalies_interval i ON i.metric_id = m.id
           WHERE m.kind = %(kind)s AND m.entity = judged.entity
             AND (i.state = 'open' OR i.ended_at >= judge_from - %(gap)s::interval)),
       coalesce(dirty_from < %(today)s, false)
FROM judged,
     LATERAL (SELECT min(since) AS since FROM related r WHERE r.entity = judged.entity) AS of_cause,
     LATERAL (SELECT min(started_at) AS since FROM anomalies_anomaly a
              WHERE a.kind = %(kind)s AND a.entity = judged.entity
                AND (a.state = 'open' OR a.active_until >= judge_from - %(gap)s::interval)) AS of_own
"""  # noqa: S608  our own

_JUDGED = f"""
UPDATE anomalies_series SET judged_until = least(last_time, %(now)s),
    dirty_from = CASE WHEN last_time >= %(now)s THEN %(now)s::timestamptz END,
    lag_seconds = {WAITED}
WHERE kind = %(kind)s AND entity = ANY(%(entities)s)
"""  # noqa: S608  our own


def judge_due(scan: Scan, kind: str, share: int, judges: Judges, by: Actor, progress: Progress = unseen) -> None:
    """Judge the entities of a kind that are due and fall on that share, and add the figures to the scan's."""
    due = _due(scan, kind, share)
    at_a_glance = [window for window in due if _at_a_glance(scan, kind, window, judges)]
    closely = sorted(set(due) - set(at_a_glance), key=lambda window: window.entity)
    done = 0
    for glanced in _glanced_together(at_a_glance):
        progress(f"Looking at {_PLURALS[kind]}", done, len(due))
        worth = _glance(scan, kind, glanced, judges)
        closely += worth
        done += len(glanced) - len(worth)
    for some in together(closely):
        progress(f"Looking at {_PLURALS[kind]}", done, len(due))
        _judge(scan, kind, some, judges, by)
        done += len(some)
    progress(f"Looking at {_PLURALS[kind]}", done, len(due))


def _at_a_glance(scan: Scan, kind: str, window: histories.Window, judges: Judges) -> bool:
    """Return whether what came today is all that can change what is said of an entity."""
    return (
        scan.trigger != Scan.Trigger.REPLAY
        and window.alone
        and not window.past_changed
        and window.judge_from >= _midnight(scan.now)
        and not judges.has_own(kind, window.entity)
    )


def _glance(scan: Scan, kind: str, windows: Sequence[histories.Window], judges: Judges) -> Sequence[histories.Window]:
    """Return those that are worth a close look; of the others nothing is to be said, and they are judged."""
    try:
        with transaction.atomic():
            calm = glances.unremarkable(kind, windows, judges, until=scan.now)
            _note(scan, kind, calm)
    except (InterfaceError, OperationalError):
        raise
    except Exception:
        logger.exception("scan %s: %s %s are looked at closely instead", scan.pk, len(windows), _PLURALS[kind])
        return windows
    scan.series_judged += len(calm)
    judged = set(calm)
    return [window for window in windows if window not in judged]


def _glanced_together(windows: Iterable[histories.Window]) -> Iterator[list[histories.Window]]:
    """Yield windows that are looked at together: alike in time, and bounded in series."""
    some: list[histories.Window] = []
    series = 0
    for window in sorted(windows, key=lambda window: window.judge_from):
        if some and series + window.series > GLANCES_AT_ONCE:
            yield some
            some, series = [], 0
        some.append(window)
        series += window.series
    if some:
        yield some


def _midnight(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _note(scan: Scan, kind: str, windows: Sequence[histories.Window]) -> None:
    """Note up to when entities were judged."""
    with connection.cursor() as cursor:
        entities = [window.entity for window in windows]
        cursor.execute(_JUDGED, {"now": scan.now, "kind": kind, "entities": entities, **OF_WAITED})


def _due(scan: Scan, kind: str, share: int) -> list[histories.Window]:
    due = []
    parameters: dict[str, Any] = {
        "since": scan.finished_before,
        "now": scan.now,
        "all": scan.trigger == Scan.Trigger.REPLAY,
        "kind": kind,
        "share": share,
        "shares": scan.shares,
        "horizon": LATE_HORIZON,
        "may_drop": kind == Series.Kind.AGENT,
        **OF_WAITED,
        "silent": histories.SILENT,
        "gap": LONGEST_GAP,
        "today": _midnight(scan.now),
    }
    with connection.cursor() as cursor:
        cursor.execute(_DUE, parameters)
        for entity, first_time, last_time, series, late, judge_from, alone, past_changed in cursor.fetchall():
            scan.series_late += late
            due.append(histories.Window(entity, judge_from, first_time, last_time, series, alone, past_changed))
    return due


def together(due: list[histories.Window]) -> Iterator[list[histories.Window]]:
    """Yield windows that are judged at once: alike in time, and bounded in series times days."""
    some: list[histories.Window] = []
    series = 0
    for window in sorted(due, key=lambda window: (window.judge_from, window.last_time)):
        last = max(one.last_time for one in [*some, window])
        days = (last - (some[0] if some else window).judge_from).days + histories.HISTORY_DAYS
        if some and (series + window.series) * days > SERIES_DAYS_AT_ONCE:
            yield some
            some, series = [], 0
        some.append(window)
        series += window.series
    if some:
        yield some


def _judge(scan: Scan, kind: str, windows: Sequence[histories.Window], judges: Judges, by: Actor) -> None:
    """Judge some entities of a kind; one that cannot be judged is logged, counted, and stops no other."""
    kept, found, told = None, 0, 0
    try:
        kept, found, told = _judge_together(scan, kind, windows, judges, by)
    except (InterfaceError, OperationalError):
        raise  # without its connection the scan has lost its lock, too
    except Exception:
        if len(windows) == 1:
            logger.exception("scan %s: %s %s could not be judged", scan.pk, kind, windows[0].entity)
    if kept:
        scan.series_judged += len(windows)
        scan.findings += found
        scan.findings_told_by_others += told
        scan.anomalies_raised += kept.raised
        scan.anomalies_of_the_past += kept.of_the_past
        scan.anomalies_extended += kept.extended
        scan.anomalies_closed += kept.closed
        scan.anomalies_withdrawn += kept.withdrawn
        scan.anomalies_merged += kept.merged
    elif len(windows) == 1:
        scan.series_failed += 1
    else:
        middle = len(windows) // 2
        _judge(scan, kind, windows[:middle], judges, by)
        _judge(scan, kind, windows[middle:], judges, by)


@transaction.atomic
def _judge_together(
    scan: Scan, kind: str, windows: Sequence[histories.Window], judges: Judges, by: Actor
) -> tuple[Kept, int, int]:
    replayed = scan.trigger == Scan.Trigger.REPLAY
    history = histories.load(kind, windows, until=scan.now, replayed=replayed)
    found = judges.detect(history)
    judged_from = {window.entity: window.judge_from for window in windows}
    call("pg_advisory_xact_lock_shared", Lock.DECISIONS)
    own, told = _parted(kind, found, judged_from)
    kept = keep(
        own,
        told=told,
        kind=kind,
        judged_from=judged_from,
        scan=scan,
        replayed=replayed,
        still_judged=lambda anomaly: _still_judged(anomaly, judges),
    )
    if not replayed:
        scan.grants_revoked += access.respond(scan, no_longer_past=kept.no_longer_past, by=by, at=scan.now)
    glances.prepare(kind, windows, history, judges, until=scan.now)
    _note(scan, kind, windows)
    return kept, len(found), len(told)


def _parted(
    kind: str, found: Sequence[Finding], judged_from: Mapping[str, datetime]
) -> tuple[list[Finding], list[tuple[Finding, Anomaly]]]:
    """Part findings from those that have the cause of another entity's anomaly, which come with it, locked.

    What an agent does is raised in any case, and answered as the response policy asks; `merging.reconcile` looks at
    its cause once all kinds are judged.
    """
    if kind == Series.Kind.AGENT:
        return list(found), []
    with_causes = [(finding, causes.cause_of(causes.Deviating.of_finding(finding))) for finding in found]
    ids = {cause.pk for _, cause in with_causes if cause is not None} | metrics.wholes_of(kind, judged_from)
    # In the same order by all workers, so that none waits for another that waits for it.
    locked = {one.pk: one for one in Anomaly.objects.filter(pk__in=ids).select_for_update(of=("self",)).order_by("id")}
    own = [finding for finding, cause in with_causes if cause is None]
    return own, [(finding, locked[cause.pk]) for finding, cause in with_causes if cause is not None]


def _still_judged(anomaly: Anomaly, judges: Judges) -> bool:
    """Return whether its detector looks at it as it did: else nothing but our settings speaks against it."""
    config = judges.config_of(anomaly.type, anomaly.kind, anomaly.entity)
    return (
        config is not None
        and anomaly.evidence.get("parameters") == plain(asdict(config))
        and anomaly.evidence.get("detector_version") == DETECTORS[anomaly.type].version
    )

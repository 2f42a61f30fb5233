"""Backtests: what a change of a detector would have raised and lost over past days, without touching the present."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Min, Q, QuerySet
from django.utils import timezone

from anomalies.detection import wording
from anomalies.detection.finding import plain
from anomalies.models import (
    Agent,
    Anomaly,
    Backtest,
    BucketBlock,
    DetectorOverride,
    DetectorSettings,
    Event,
    Series,
)
from anomalies.services import causes, detectors, histories, judging
from anomalies.services.actor import Actor
from anomalies.services.alternatives import One, Side
from anomalies.services.counts import BLOCK_SECONDS
from anomalies.services.detectors import Judges
from anomalies.services.differences import Decided, group, paired, reviewed
from anomalies.services.locks import Lock, tried

logger = logging.getLogger(__name__)

# Judged before `since`, so that what began there is known to have begun there and not counted.
LEAD = timedelta(days=2)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

_WINDOWS = """
SELECT entity, min(first_time), max(last_time), count(*) FILTER (WHERE metric = 'requests')
FROM anomalies_series WHERE kind = %(kind)s AND (%(entity)s = '' OR entity = %(entity)s)
GROUP BY entity HAVING min(first_time) < %(until)s AND max(last_time) >= %(judge_from)s
"""


class BacktestError(Exception):
    """What cannot be tried; `field` is that of the backtest."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(f"{field}: {reason}")


class BacktestUnderWayError(Exception):
    """Another backtest holds the lock."""


class BacktestDoneError(Exception):
    def __init__(self, backtest: Backtest) -> None:
        super().__init__(f"The backtest {backtest.public_id} is {backtest.status} already.")


def start(
    type_: str,
    *,
    parameters: Mapping[str, Any],
    enabled: bool = True,
    agent: Agent | None = None,
    since: datetime,
    until: datetime,
    by: Actor,
    at: datetime,
) -> Backtest:
    """Return a backtest that waits to be run: of the detector's settings, or of an agent's override.

    Parameters that are left out have their default; those of an override follow the settings. Raises
    UnknownDetectorError, ParameterError, or BacktestError for days of which there are no counts.
    """
    detectors.check(type_, parameters)
    if since < (kept := earliest(since)):
        raise BacktestError("since", f"counts begin at {kept:%Y-%m-%d %H:%M} UTC.")
    if until > at:
        raise BacktestError("until", f"it is after {at:%Y-%m-%d %H:%M} UTC, which is now.")
    if until <= since:
        raise BacktestError("until", "it is not after since.")
    return Backtest.objects.create(
        type=type_,
        parameters=dict(parameters),
        enabled=enabled,
        agent=agent,
        since=since,
        until=until,
        created_at=at,
        created_by=by.name,
    )


def earliest(since: datetime) -> datetime:
    """Return that time, or the start of the counts that are kept if that is later. Raises BacktestError."""
    kept = _kept_since(3600)
    if kept is None:
        raise BacktestError("since", "nothing was counted yet.")
    return max(since, kept)


def run_again(failed: QuerySet[Backtest]) -> int:
    """Let those that failed wait to be run again, and return how many these are."""
    return failed.filter(status=Backtest.Status.FAILED).update(
        status=Backtest.Status.WAITING, done=0, total=0, result=None, finished_at=None
    )


def run_due() -> Backtest | None:
    """Run the backtest that waits longest, and return it; None if none waits, or one is under way."""
    unfinished = Backtest.objects.filter(status__in=[Backtest.Status.WAITING, Backtest.Status.RUNNING])
    backtest = unfinished.order_by("id").first()
    if backtest is not None:
        try:
            run(backtest)
        except (BacktestUnderWayError, BacktestDoneError):
            return None
    return backtest


def run(backtest: Backtest) -> None:
    """Judge its days by the present settings and by the changed ones, and keep the differences as its result.

    Nothing else is written: the days are judged in read-only transactions. One that was killed, or that failed, can be
    run again. Raises BacktestUnderWayError, or BacktestDoneError. A failure is kept with its reason.
    """
    with _one_at_a_time():
        begun = Backtest.objects.filter(pk=backtest.pk).exclude(status=Backtest.Status.DONE)
        if not begun.update(status=Backtest.Status.RUNNING, done=0, total=0, result=None, finished_at=None):
            backtest.refresh_from_db()
            raise BacktestDoneError(backtest)
        try:
            result, status = _compared(backtest), Backtest.Status.DONE
        except Exception as error:
            logger.exception("backtest %s failed", backtest.public_id)
            result, status = {"error": f"{type(error).__name__}: {error}"}, Backtest.Status.FAILED
        Backtest.objects.filter(pk=backtest.pk).update(status=status, result=result, finished_at=timezone.now())
    backtest.refresh_from_db()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with tried(Lock.BACKTEST) as mine:
        if not mine:
            raise BacktestUnderWayError("Another backtest is under way.")
        yield


def _compared(backtest: Backtest) -> dict[str, Any]:
    begun = time.monotonic()
    judge_from = backtest.since - LEAD
    asked: dict[tuple[Any, ...], Any] = {}
    before, after = (Side(judges.only(backtest.type), asked) for judges in (Judges.load(), Judges.load(_row(backtest))))
    for one in _there_are(backtest, judge_from):
        before.add(one)
        after.add(replace(one))
    windows = {kind: _windows(backtest, kind, judge_from) for kind in judging.KINDS}
    total, done, failed = sum(len(due) for due in windows.values()), 0, 0
    Backtest.objects.filter(pk=backtest.pk).update(total=total)
    for kind, due in windows.items():
        for some in judging.together(due):
            failed += _judge(kind, some, backtest.until, before, after)
            done += len(some)
            Backtest.objects.filter(pk=backtest.pk).update(done=done)
    _reconcile(before, after)
    old, new = (side.standing(backtest.since) for side in (before, after))
    lost, gained, kept = paired(old, new)
    decided = Decided(backtest.type, since=judge_from, until=backtest.until)
    days = (backtest.until - backtest.since) / DAY
    return {
        "before": _settings(before, backtest),
        "after": _settings(after, backtest),
        "gained": group(gained, decided),
        "lost": group(lost, decided),
        "both": {
            **group([now for _, now in kept], decided),
            "severity_rose": sum(now.severity > then.severity for then, now in kept),
            "severity_fell": sum(now.severity < then.severity for then, now in kept),
        },
        "reviewed": {"before": reviewed(old, decided, days), "after": reviewed(new, decided, days)},
        "entities": total,
        "failed": failed,
        "days": round(days, 2),
        "seconds": round(time.monotonic() - begun, 2),
        "notes": _notes(backtest, judge_from),
    }


def _row(backtest: Backtest) -> DetectorSettings | DetectorOverride:
    """The change, as the row that it would be saved as."""
    change = {"type": backtest.type, "enabled": backtest.enabled, "parameters": backtest.parameters}
    return DetectorOverride(agent_id=backtest.agent_id, **change) if backtest.agent_id else DetectorSettings(**change)


def _windows(backtest: Backtest, kind: str, judge_from: datetime) -> list[histories.Window]:
    """Return all entities of a kind that were active in those days; for an override, the agent alone."""
    if backtest.agent_id and kind != Series.Kind.AGENT:
        return []
    entity = backtest.agent_id or ""
    with connection.cursor() as cursor:
        cursor.execute(_WINDOWS, {"kind": kind, "entity": entity, "judge_from": judge_from, "until": backtest.until})
        return [
            histories.Window(entity, max(first, judge_from), first, min(last, backtest.until), series)
            for entity, first, last, series in cursor.fetchall()
        ]


def _judge(kind: str, windows: Sequence[histories.Window], until: datetime, *sides: Side) -> int:
    """Judge some entities of a kind for both sides, and return how many could not be judged, as in a scan."""
    try:
        found = _found(kind, windows, until, sides)
    except (InterfaceError, OperationalError):
        raise
    except Exception:
        if len(windows) == 1:
            logger.exception("backtest: %s %s could not be judged", kind, windows[0].entity)
            return 1
        middle = len(windows) // 2
        return sum(_judge(kind, half, until, *sides) for half in (windows[:middle], windows[middle:]))
    for side, ones in zip(sides, found, strict=True):
        for one in ones:
            side.add(one)
    return 0


def _found(kind: str, windows: Sequence[histories.Window], until: datetime, sides: Sequence[Side]) -> list[list[One]]:
    with _reading():
        history = histories.load(kind, windows, until=until, replayed=True)
        found = [side.judges.detect(history) for side in sides]
        return [
            [One.of_finding(finding) for finding in findings if not side.told(finding)]
            for side, findings in zip(sides, found, strict=True)
        ]


def _reconcile(*sides: Side) -> None:
    with _reading():
        for side in sides:
            side.reconcile()


@contextmanager
def _reading() -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        yield


def _there_are(backtest: Backtest, judge_from: datetime) -> list[One]:
    """Return the anomalies of those days that may explain others and that are not judged anew."""
    judged = Q(type=backtest.type)
    if backtest.agent_id:
        judged &= Q(kind=Series.Kind.AGENT, entity=backtest.agent_id)
    explaining = Anomaly.objects.filter(type__in=[*causes.EXPLAINING, backtest.type]).exclude(judged)
    meanwhile = explaining.filter(started_at__lt=backtest.until, active_until__gt=judge_from)
    return [
        One.of_anomaly(one) for one in meanwhile.exclude(state=Anomaly.State.WITHDRAWN).order_by("started_at", "id")
    ]


def _settings(side: Side, backtest: Backtest) -> dict[str, Any]:
    config = side.judges.config_of(backtest.type, Series.Kind.AGENT, backtest.agent_id or "")
    return {"enabled": config is not None, "parameters": plain(asdict(config)) if config is not None else {}}


def _kept_since(width: int) -> datetime | None:
    """Start of the earliest counts of that resolution that are kept."""
    blocks = BucketBlock.objects.filter(series__kind=Series.Kind.TENANT, resolution_seconds=width)
    earliest: datetime | None = blocks.aggregate(first=Min("start"))["first"]
    return earliest


def _notes(backtest: Backtest, judge_from: datetime) -> list[str]:
    """What the result does not see."""
    notes = []
    counted = Series.objects.filter(kind=Series.Kind.TENANT).aggregate(first=Min("first_time"))["first"]
    needed = max(judge_from, counted)
    for width in sorted(BLOCK_SECONDS, reverse=True):
        kept = _kept_since(width)
        if kept is None or kept > needed + HOUR:
            when = f"before {kept:%Y-%m-%d %H:%M} UTC" if kept else "of these days"
            notes.append(f"Counts of {wording.span(width)} {when} are not kept: what only they show is missing.")
    first_event = Event.objects.aggregate(first=Min("time"))["first"]
    if first_event is None or first_event > needed + DAY:
        when = f"before {first_event:%Y-%m-%d %H:%M} UTC" if first_event else "of these days"
        notes.append(f"Events {when} are not kept: guessed credentials and shared causes are not seen there.")
    if backtest.agent_id:
        notes.append(
            "Addresses and users are not judged: what this agent's anomalies tell of them may come up without these."
        )
    return notes

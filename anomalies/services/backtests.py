"""Backtests: what a change of a detector would have raised and lost over past days, without touching the present."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Min
from django.utils import timezone
from scipy import stats

from anomalies.detection import wording
from anomalies.detection.finding import Finding, plain
from anomalies.models import (
    Agent,
    Anomaly,
    Backtest,
    BucketBlock,
    DetectorOverride,
    DetectorSettings,
    Event,
    Series,
    Severity,
)
from anomalies.services import causes, detectors, histories, judging
from anomalies.services.actor import Actor
from anomalies.services.counts import BLOCK_SECONDS
from anomalies.services.detectors import Judges

logger = logging.getLogger(__name__)

# Judged before `since`, so that what began there is known to have begun there and not counted.
LEAD = timedelta(days=2)
NEWEST = 50  # that are shown in full, of each group
LOCK = 7_236_302  # the advisory lock that keeps backtests one at a time: a worker always has room for scans
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
FALSE = (Anomaly.Verdict.BENIGN, Anomaly.Verdict.FALSE_POSITIVE)  # that nobody needed to see

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
    kept = _kept_since(3600)
    if kept is None:
        raise BacktestError("since", "nothing was counted yet.")
    if since < kept:
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
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise BacktestUnderWayError("Another backtest is under way.")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a finding would be as an anomaly."""

    kind: str
    entity: str
    topic: str
    start: float
    end: float
    severity: int
    shown: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.entity, self.topic


@dataclass(slots=True)
class _Side:
    """What is raised by one of the two settings, by kind; those that others tell are left out, as in a scan."""

    judges: Judges
    raised: dict[str, list[_Raised]] = field(default_factory=lambda: defaultdict(list))


def _compared(backtest: Backtest) -> dict[str, Any]:
    begun = time.monotonic()
    before, after = _Side(Judges.load().only(backtest.type)), _Side(Judges.load(_row(backtest)).only(backtest.type))
    judge_from = backtest.since - LEAD
    windows = {kind: _windows(backtest, kind, judge_from) for kind in judging.KINDS}
    total, done, failed = sum(len(due) for due in windows.values()), 0, 0
    Backtest.objects.filter(pk=backtest.pk).update(total=total)
    for kind, due in windows.items():
        for some in judging.together(due):
            failed += _judge(kind, some, backtest.until, before, after)
            done += len(some)
            Backtest.objects.filter(pk=backtest.pk).update(done=done)
    since = backtest.since.timestamp()
    old, new = (
        [one for raised in side.raised.values() for one in raised if one.start >= since] for side in (before, after)
    )
    lost, gained, both = _paired(old, new)
    decided = _Decided(backtest, judge_from)
    days = (backtest.until - backtest.since) / DAY
    return {
        "before": _settings(before, backtest),
        "after": _settings(after, backtest),
        "gained": _group(gained, decided),
        "lost": _group(lost, decided),
        "both": {
            **_group([now for _, now in both], decided),
            "severity_rose": sum(now.severity > then.severity for then, now in both),
            "severity_fell": sum(now.severity < then.severity for then, now in both),
        },
        "reviewed": {"before": _reviewed(old, decided, days), "after": _reviewed(new, decided, days)},
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


def _judge(kind: str, windows: Sequence[histories.Window], until: datetime, *sides: _Side) -> int:
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
    for side, raised in zip(sides, found, strict=True):
        side.raised[kind] += raised
    return 0


@transaction.atomic
def _found(
    kind: str, windows: Sequence[histories.Window], until: datetime, sides: Sequence[_Side]
) -> list[list[_Raised]]:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    history = histories.load(kind, windows, until=until, replayed=True)
    found = [side.judges.detect(history) for side in sides]
    mains = _Mains()
    return [
        [_as_raised(finding) for finding in findings if not _is_told(finding, side, mains)]
        for side, findings in zip(sides, found, strict=True)
    ]


class _Mains:
    """Whose doing findings are, each asked for once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, float, float], str | None] = {}

    def of(self, other: str, finding: Finding) -> str | None:
        key = (other, finding.kind, finding.entity, finding.start, finding.end)
        if key not in self._known:
            self._known[key] = causes.main_of(Series.Kind(other), finding)
        return self._known[key]


def _is_told(finding: Finding, side: _Side, mains: _Mains) -> bool:
    """As `causes.cause_of`, of what this side raised instead of the anomalies that there are."""
    for other in finding.told_by:
        at_that_time = {one.entity for one in side.raised[other] if one.start < finding.end and one.end > finding.start}
        if at_that_time and mains.of(other, finding) in at_that_time:
            return True
    return False


def _as_raised(finding: Finding) -> _Raised:
    evidence = finding.evidence
    shown = {
        "kind": finding.kind,
        "entity": finding.entity,
        "started_at": _iso(finding.start),
        "ended_at": _iso(finding.end),
        "severity": _name(finding.severity),
        "score": finding.score,
        "description": finding.description,
        "why": evidence["why"],
        "observed": evidence["observed"],
        "expected": evidence["expected"],
        "unit": evidence["unit"],
    }
    return _Raised(
        finding.kind, finding.entity, finding.topic, finding.start, finding.end, finding.severity, plain(shown)
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _name(severity: int) -> str:
    return str(Severity(severity).label)


def _paired(
    old: Sequence[_Raised], new: Sequence[_Raised]
) -> tuple[list[_Raised], list[_Raised], list[tuple[_Raised, _Raised]]]:
    """Return those of the first alone, of the second alone, and of both: those that would be the same anomaly."""
    by_key: dict[tuple[str, str, str], list[_Raised]] = defaultdict(list)
    for one in sorted(old, key=lambda one: one.start):
        by_key[one.key].append(one)
    gained, both = [], []
    for one in sorted(new, key=lambda one: one.start):
        match = next((other for other in by_key[one.key] if other.start <= one.end and other.end >= one.start), None)
        if match is None:
            gained.append(one)
        else:
            by_key[one.key].remove(match)
            both.append((match, one))
    return [one for rest in by_key.values() for one in rest], gained, both


class _Decided:
    """The anomalies of those days, and what reviewers made of them."""

    def __init__(self, backtest: Backtest, judge_from: datetime) -> None:
        self._known: dict[tuple[str, str, str], list[Anomaly]] = defaultdict(list)
        anomalies = Anomaly.objects.standing().filter(
            type=backtest.type, started_at__lt=backtest.until, active_until__gte=judge_from
        )
        fields = ("public_id", "kind", "entity", "topic", "started_at", "active_until", "status", "verdict")
        for anomaly in anomalies.exclude(state=Anomaly.State.WITHDRAWN).only(*fields).order_by("started_at", "id"):
            self._known[anomaly.kind, anomaly.entity, anomaly.topic].append(anomaly)

    def of(self, raised: _Raised) -> Anomaly | None:
        """The anomaly that it is by now, if it was raised."""
        for anomaly in self._known[raised.key]:
            if raised.start <= anomaly.active_until.timestamp() and raised.end >= anomaly.started_at.timestamp():
                return anomaly
        return None


def _group(raised: Sequence[_Raised], decided: _Decided) -> dict[str, Any]:
    severities = Counter(one.severity for one in raised)
    newest = sorted(raised, key=lambda one: (-one.start, one.key))[:NEWEST]
    return {
        "count": len(raised),
        "by_severity": {_name(severity): severities[severity] for severity in sorted(Severity.values, reverse=True)},
        "decisions": _decisions(raised, decided),
        "newest": [{**one.shown, **_decision(decided.of(one))} for one in newest],
    }


def _decision(anomaly: Anomaly | None) -> dict[str, str]:
    return {"anomaly": anomaly.public_id, "decision": _word(anomaly)} if anomaly else {}


def _word(anomaly: Anomaly) -> str:
    return anomaly.get_verdict_display() if anomaly.verdict else anomaly.status


def _decisions(raised: Sequence[_Raised], decided: _Decided) -> dict[str, int]:
    """How those that are anomalies were decided, by verdict where there is one."""
    anomalies = [anomaly for one in raised if (anomaly := decided.of(one))]
    return dict(Counter(_word(anomaly) for anomaly in anomalies).most_common())


def _reviewed(raised: Sequence[_Raised], decided: _Decided, days: float) -> dict[str, Any]:
    """Return the share of true positives among those with such a verdict, with its 95 % Wilson interval."""
    anomalies = [decided.of(one) for one in raised]
    verdicts = Counter(anomaly.verdict for anomaly in anomalies if anomaly)
    true, false = verdicts[Anomaly.Verdict.TRUE_POSITIVE], sum(verdicts[verdict] for verdict in FALSE)
    interval = stats.binomtest(true, true + false).proportion_ci(method="wilson") if true + false else None
    return {
        "raised": len(raised),
        "raised_a_day": round(len(raised) / days, 3),
        "are_anomalies": sum(anomaly is not None for anomaly in anomalies),
        "true": true,
        "false": false,
        "false_a_day": round(false / days, 3),
        "precision": round(true / (true + false), 4) if interval else None,
        "precision_low": round(float(interval.low), 4) if interval else None,
        "precision_high": round(float(interval.high), 4) if interval else None,
    }


def _settings(side: _Side, backtest: Backtest) -> dict[str, Any]:
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
            notes.append(
                f"Counts of {wording.span(width)} {when} are not kept: what only they show is on neither side."
            )
    first_event = Event.objects.aggregate(first=Min("time"))["first"]
    if first_event is None or first_event > needed + DAY:
        when = f"before {first_event:%Y-%m-%d %H:%M} UTC" if first_event else "of these days"
        notes.append(f"Events {when} are not kept: guessed credentials and shared causes are not seen there.")
    if backtest.agent_id:
        notes.append(
            "Addresses and users are not judged: what this agent's anomalies tell of them may come up without these."
        )
    return notes

"""New principal: an agent that rarely meets new users acts for one it has never acted for."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from anomalies.detection import scoring, screening, wording
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector, Learning, Seen
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding, Interval, metric, plain
from anomalies.detection.history import DAY, HOUR, History, Meeting
from anomalies.detection.parameter import parameter

VERSION = 1
MOST_SURPRISE = 6.0
MEDIUM_FROM = 4.0
MANY = 5  # meetings that together are at least medium


@dataclass(frozen=True, slots=True)
class Config:
    min_surprise: float = parameter(
        3.0,
        label="How rare, at least",
        unit="-log10",
        low=0,
        high=6,
        help="How rare a new principal must be: 3 is one in a thousand events",
    )
    history_days: float = parameter(
        30.0,
        label="History that is counted",
        unit="days",
        low=1,
        high=60,
        help="In which meetings and events are counted",
    )
    warm_up_days: float = parameter(
        7.0,
        label="Warm-up time",
        unit="days",
        low=0,
        high=60,
        help="Younger than this, an agent's new principals are recorded, not raised",
    )
    warm_up_events: int = parameter(
        50, label="Warm-up events", unit="events", low=0, high=1_000_000, help="With fewer before, the same"
    )
    common_share: float = parameter(
        0.5,
        label="Share of agents that makes one common",
        unit="ratio",
        low=0,
        high=1,
        help="A principal that more agents than this know counts a level less",
    )


def detect(history: History, config: Config) -> list[Finding]:
    """Return one finding for each run of new principals of an agent, with gaps under an hour.

    q = (new + 0.5) / (events + 1) over the days before, S = -log10 q, at most 6; raised if S >= `min_surprise`.
    Severity is low, medium from S = 4; a level lower if most agents know the principal, a level higher with an
    address or country new to the agent, or a failure; five or more in one run are at least medium.

    Source: novelty rate with a Krichevsky-Trofimov prior; Freeman et al. (2016), NDSS, for the modifiers.
    """
    rows = {history.entities[row]: row for row in history.totals}
    by_agent: dict[str, list[Meeting]] = {}
    for meeting in sorted(history.meetings, key=lambda meeting: meeting.time):
        by_agent.setdefault(meeting.agent, []).append(meeting)
    found = []
    for agent, meetings in by_agent.items():
        row = rows[agent]
        runs: list[list[Meeting]] = []
        for meeting in meetings:
            if runs and meeting.time - runs[-1][-1].time < HOUR:
                runs[-1].append(meeting)
            else:
                runs.append([meeting])
        for run in runs:
            before = [other.time for other in meetings if other.time < run[0].time]
            due = run[-1].time >= history.judge_from[row] and run[0].time < history.until
            if due and (finding := _judge(history, row, run, before, config)):
                found.append(finding)
    return found


def chart(history: History, _: Config, width: int) -> Chart:
    """Return the requests of the agent with their baseline: this type has no band of its own."""
    return of_requests(history, width)


def learning(seen: Seen, config: Config) -> Learning | None:
    """Say whether an agent's new principals are only recorded yet."""
    events = seen.events(config.history_days)
    if seen.age_days >= config.warm_up_days and events >= config.warm_up_events:
        return None
    why = (
        f"its new principals are raised after {wording.plural(config.warm_up_days, 'day')} and "
        f"{wording.plural(config.warm_up_events, 'event')}, it has {wording.number(events)}"
    )
    return Learning(why, max(0.0, config.warm_up_days - seen.age_days))


def _judge(history: History, row: int, run: list[Meeting], before: Sequence[float], config: Config) -> Finding | None:
    first = run[0].time
    age_days = (first - history.first_time[row]) / DAY
    last_hour = history.hours.index(first)
    from_hour = max(0, last_hour - round(config.history_days * 24))
    events = int(history.hours.requests[row, from_hour:last_hour].sum())
    if age_days < config.warm_up_days or events < config.warm_up_events:
        return None
    new = sum(time >= first - config.history_days * DAY for time in before)
    q = (new + 0.5) / (events + 1)
    s = min(-math.log10(q), MOST_SURPRISE)
    if s < config.min_surprise:
        return None

    severity = MEDIUM if s >= MEDIUM_FROM else LOW
    signs = [
        sign
        for sign, holds in (
            ("from an address new to the agent", any(meeting.new_address for meeting in run)),
            ("from a country new to the agent", any(meeting.new_country for meeting in run)),
            ("with a failure", any(meeting.failed for meeting in run)),
        )
        if holds
    ]
    common = all(meeting.known_share > config.common_share for meeting in run)
    severity += bool(signs) - common
    if len(run) >= MANY:
        severity = max(MEDIUM, severity)
    severity = int(np.clip(severity, LOW, HIGH))

    names = [meeting.principal for meeting in run]
    end = run[-1].time + 1.0
    is_open = history.until < end + HOUR
    score = max(scoring.score(s), scoring.floor_score(severity))
    rare = f"{wording.none_or(new, 'new principal')} in {wording.plural(events, 'event')} before"
    if len(run) == 1:
        description = f"{names[0]} for the first time, {rare}"
    else:
        description = f"{wording.plural(len(run), 'new principal')} in {wording.span(max(end - first, 60))}, {rare}"
    agent = history.entities[row]
    days = min(age_days, config.history_days)
    intervals = (
        Interval(
            resolution_seconds=HOUR,
            start=first,
            end=end,
            open=is_open,
            peak=float(len(run)),
            expected=q,
            upper=1.0,
            score=score,
        ),
    )
    evidence = plain(
        {
            "observed": len(run),
            "expected": q,
            "lower": 0,
            "upper": 0,
            "p": min(q, 1.0),
            "unit": "new principals",
            "resolution_seconds": HOUR,
            "start": first,
            "end": end,
            "event_count": len(run),
            "principals": names[:100],
            "signs": signs,
            "known_share": max(meeting.known_share for meeting in run),
            "history_days": round(days, 2),
            "parameters": asdict(config),
            "detector_version": VERSION,
            "why": f"{agent} acted for {wording.listing(names)} for the first time{_also(signs)}. In the "
            f"{wording.plural(round(days), 'day')} before it met {wording.none_or(new, 'new principal')} in "
            f"{wording.plural(events, 'event')}: a new one is to be expected in {wording.chance(q)} events."
            + (" Most other agents know that principal." if common else ""),
        }
    )
    return Finding(
        type=DETECTOR.type,
        kind=history.kind,
        entity=agent,
        start=first,
        end=end,
        open=is_open,
        metrics=(metric(DETECTOR.counts, history.kind, agent, intervals, score=score, evidence=evidence),),
        raised_at=first,
        score=score,
        severity=severity,
        description=description,
        principal_id=names[0],
        evidence=evidence,
    )


def _also(signs: list[str]) -> str:
    return f", {wording.listing(signs)}" if signs else ""


DETECTOR = Detector(
    type="new_principal",
    label="New principal",
    meaning="An agent that rarely meets new users acts for one it has never acted for.",
    risk="Unauthorized Delegation",
    entity="user",
    may_indicate=(
        "A stolen or mis-issued delegation.",
        "An agent used beyond its purpose.",
        "A new colleague or customer.",
    ),
    recommended_actions=(
        "Ask the user whether they authorized this agent.",
        "Check who issued the grant and when.",
        "If it is expected, acknowledge it: from now on the agent is known to act for this user.",
    ),
    version=VERSION,
    counts="new_principals",
    config=Config,
    detect=detect,
    chart=chart,
    learning=learning,
    screen=screening.after_meetings,
)

"""Custom rule: as many events within a window as a reviewer's own rule calls an anomaly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anomalies.detection import scoring, screening, wording
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector
from anomalies.detection.finding import Finding, Interval, metric, plain
from anomalies.detection.history import DAY, History, Rule

VERSION = 1
SECOND = 1_000_000  # microseconds: events are told apart by them, and sums of integers are exact

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Config:
    """Each rule brings its own window and threshold."""


def detect(history: History, _: Config) -> list[Finding]:
    """Return one finding for each rule, agent and run of windows that hold.

    A window holds if `threshold` events of the agent that match lie within less than `window_seconds`; the windows are
    those that end with an event, so that none is missed at an edge of a clock. A run begins with the first event of
    its first window and ends with the last event of its last: windows belong together while the rule is broken without
    a pause, share an event, or follow each other within a second. It is open while a further event could belong to it.

    Windows that end before the rule was in force are not judged. The cost is linear in the events that match.
    """
    found = []
    row_of = {history.entities[row]: row for row in history.totals}
    for rule in history.rules:
        for agent, seconds in rule.matches.items():
            row = row_of[agent]
            times = _microseconds(seconds[seconds < history.until])
            judge_from = _microseconds(history.judge_from[row])
            due = [run for run in _runs(times, rule) if times[run[-1]] >= judge_from]
            found += [_finding(history, row, rule, times, run) for run in due]
    return found


def chart(history: History, _: Config, width: int) -> Chart:
    """Return the requests of the agent with their baseline: this type has no band of its own."""
    return of_requests(history, width)


def _microseconds(seconds: ArrayLike) -> Times:
    microseconds: Times = np.rint(np.asarray(seconds) * SECOND).astype(np.int64)
    return microseconds


def _runs(times: Times, rule: Rule) -> Iterator[NDArray[np.intp]]:
    """Yield the runs of windows that hold, each window as the index of its last event."""
    before = rule.threshold - 1
    window = round(rule.window_seconds * SECOND)
    lasts = np.arange(before, len(times))
    firsts = lasts - before
    holds = (times[lasts] - times[firsts] < window) & (times[lasts] >= _microseconds(rule.since))
    lasts, begins = lasts[holds], times[firsts[holds]]
    ends = times[lasts]
    apart = (begins[1:] > ends[:-1] + SECOND) & (ends[1:] - begins[:-1] >= window)
    for run in np.split(lasts, np.flatnonzero(apart) + 1):
        if len(run):
            yield run


def _finding(history: History, row: int, rule: Rule, times: Times, run: NDArray[np.intp]) -> Finding:
    window = round(rule.window_seconds * SECOND)
    begun = np.searchsorted(times, times[run] - window, side="right")
    counts = run - begun + 1
    busiest = int(np.argmax(counts))
    observed = int(counts[busiest])
    first = int(run[0]) - rule.threshold + 1
    start, end = float(times[first]) / SECOND, float(times[run[-1]]) / SECOND + 1.0
    is_open = history.until < end + rule.window_seconds
    score = scoring.floor_score(rule.severity)
    agent = history.entities[row]
    event_count = int(run[-1]) - first + 1
    span = wording.span(rule.window_seconds)
    evidence = plain(
        {
            "observed": observed,
            "expected": rule.threshold - 1,
            "lower": 0,
            "upper": rule.threshold - 1,
            "p": 1.0,
            "unit": "events",
            "resolution_seconds": int(rule.window_seconds),
            "start": float(times[begun[busiest]]) / SECOND,
            "end": float(times[run[busiest]]) / SECOND + 1.0,
            "event_count": event_count,
            "history_days": round(max(0.0, start - history.first_time[row]) / DAY, 2),
            "parameters": {"window_seconds": int(rule.window_seconds), "threshold": rule.threshold},
            "rule": rule.id,
            "rule_name": rule.name,
            "scopes": list(rule.scopes),
            "detector_version": VERSION,
            "why": f"Rule “{rule.name}” calls {wording.plural(rule.threshold, 'event')} or more within {span} an "
            f"anomaly{_about(rule)}. {agent} had {wording.number(observed)} within {span}"
            # Of those within the span some may lie before the rule was in force, and are none of its events.
            + (f", {wording.number(event_count)} in all" if event_count >= observed else "")
            + ". A person set this limit; it was not learned.",
        }
    )
    intervals = (
        Interval(
            resolution_seconds=int(rule.window_seconds),
            start=start,
            end=end,
            open=is_open,
            peak=float(observed),
            expected=float(rule.threshold - 1),
            upper=float(rule.threshold - 1),
            score=score,
        ),
    )
    return Finding(
        type=DETECTOR.type,
        kind=history.kind,
        entity=agent,
        start=start,
        end=end,
        open=is_open,
        metrics=(metric(DETECTOR.counts, history.kind, agent, intervals, score=score, evidence=evidence),),
        raised_at=float(times[run[0]]) / SECOND,
        score=score,
        severity=rule.severity,
        description=f"{wording.plural(observed, 'event')} in {span}, "
        f"rule “{rule.name}” allows fewer than {wording.number(rule.threshold)}",
        evidence=evidence,
        topic=rule.id,
    )


def _about(rule: Rule) -> str:
    return f", if they are about {wording.listing(list(rule.scopes))}" if rule.scopes else ""


DETECTOR = Detector(
    type="custom_rule",
    label="Custom rule",
    meaning="More events within a window than a reviewer's own rule allows.",
    risk="Policy Violation",
    may_indicate=(
        "What whoever wrote the rule wanted to hear of.",
        "A limit that the agent has outgrown.",
    ),
    recommended_actions=(
        "Read the rule and ask whoever wrote it what it is for.",
        "Look at the events that it counted.",
        "If they are expected, change the rule's limit, its agents or its scopes.",
    ),
    version=VERSION,
    counts="rule_events",
    window=lambda parameters: float(parameters["window_seconds"]),
    config=Config,
    detect=detect,
    chart=chart,
    screen=screening.by_rules,
)

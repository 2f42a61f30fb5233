"""Access automation detected: code asks again and again for similar access."""

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from anomalies.detection import scoring, screening, wording
from anomalies.detection.access_finding import Observation, access_finding
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding
from anomalies.detection.history import DAY, HOUR, History
from anomalies.detection.parameter import parameter
from anomalies.detection.request import AccessRequest, Requester

VERSION = 1
SECOND = 1.0  # that a request lasts
USUAL_DAYS_SHARE = 10 / 14  # of the days on which a pattern shows: a service account may keep to work days
MOST_TOPIC = 200  # characters, as the anomaly's

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Config:
    min_requests: int = parameter(
        5,
        label="Similar requests, at least",
        unit="requests",
        low=2,
        high=1000,
        help="Similar ones of a user in a window",
    )
    window_minutes: float = parameter(
        60.0, label="Within", unit="minutes", low=1, high=60, help="The window, that slides"
    )
    regular_cv: float = parameter(
        0.2,
        label="Gaps count as regular up to",
        unit="ratio",
        low=0,
        high=2,
        help="Gaps of which the deviation is a smaller share of the mean are regular",
    )
    same_share: float = parameter(
        0.8,
        label="Share that repeats or enumerates",
        unit="ratio",
        low=0.5,
        high=1,
        help="Share of the requests from which they repeat or enumerate",
    )
    awake_hours: float = parameter(
        16.0,
        label="Awake longer than a person",
        unit="hours",
        low=1,
        high=24,
        help="Active in more hours than this of a day, it is no person at work",
    )
    usual_days: int = parameter(
        14,
        label="A pattern of its own after",
        unit="days",
        low=2,
        high=28,
        help="Regular for so long, a service account is its own pattern",
    )
    usual_times: float = parameter(
        1.5,
        label="Changed when above its pattern by",
        unit="ratio",
        low=1,
        high=100,
        help="Above its own pattern by this factor it has changed",
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """Similar requests one after another; `usual` is what its maker had in a window on most days before."""

    requests: tuple[AccessRequest, ...]
    most: int  # in one window
    usual: float
    crossed_at: float  # when the limit was first reached


def detect(history: History, config: Config) -> list[Finding]:
    """Return one finding for each run of similar requests of a user to one integration and resource type.

    Requests are similar if they share a resource or a permission. A request is of a run if a window that slides with
    the requests holds `min_requests` that share the same; runs end where none follows within a window. A service
    account is its own pattern: the number in a window that it reached on 10 of 14 days before is usual, up to
    `usual_times` as many are no run, and more, or as many for something it had not asked for, are the change to find.

    Signs: regular gaps (coefficient of variation below `regular_cv`), repetition of one unit or enumeration of
    resources, more than `awake_hours` of a day, twice the limit. Low without regularity and below twice the limit; high
    with regularity and one of the last two; else medium. Score 0.2 and 0.2 for each sign. p is the Poisson tail of the
    fullest window, given the rate of the `usual_days` before.

    Source: Apono, Anomaly Detection; regularity of gaps as in beaconing detection (Hubballi and Goyal 2013).
    """
    found = []
    for row in history.totals:
        requester = history.requests.get(history.entities[row])
        if requester is None:
            continue
        for group, requests in _groups(requester).items():
            if max(request.known_at for request in requests) < history.judge_from[row]:
                continue
            found += [
                _finding(history, row, requester, group, run, requests, config)
                for run in _runs(requests, group, config)
                if max(request.known_at for request in run.requests) >= history.judge_from[row]
            ]
    return found


def chart(history: History, _: Config, width: int) -> Chart:
    """Return all requests of the user with their baseline: this type has no band of its own."""
    return of_requests(history, width)


def _groups(requester: Requester) -> dict[tuple[str, str], list[AccessRequest]]:
    """Return the requests by integration and resource type, by time."""
    groups: dict[tuple[str, str], list[AccessRequest]] = defaultdict(list)
    for request in requester.requests:
        if request.in_time:
            for group in {unit.group for unit in request.units}:
                groups[group].append(request)
    return dict(sorted(groups.items()))


def _runs(requests: Sequence[AccessRequest], group: tuple[str, str], config: Config) -> Iterator[_Run]:
    """Yield the runs of one group, from all that share something and come too often."""
    window = config.window_minutes * 60
    by_shared: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, request in enumerate(requests):
        for shared in sorted({shared for unit in request.units if unit.group == group for shared in unit.shared}):
            by_shared[shared].append(number)
    most, usual = np.zeros(len(requests), dtype=np.int64), np.zeros(len(requests))
    crossing = np.zeros(len(requests), dtype=np.bool_)
    for numbers in by_shared.values():
        times = np.array([requests[number].time for number in numbers])
        for last, count, known in _crossings(times, window, config):
            crossing[numbers[last]] = True
            for number in numbers[last - count + 1 : last + 1]:
                most[number], usual[number] = max(most[number], count), max(usual[number], known)
    run: list[int] = []
    for number in np.flatnonzero(most).tolist():
        if run and requests[number].time - requests[run[-1]].time >= window:
            yield _run(requests, run, most, usual, crossing)
            run = []
        run.append(number)
    if run:
        yield _run(requests, run, most, usual, crossing)


def _run(
    requests: Sequence[AccessRequest],
    run: list[int],
    most: NDArray[np.int64],
    usual: Times,
    crossing: NDArray[np.bool_],
) -> _Run:
    return _Run(
        requests=tuple(requests[number] for number in run),
        most=int(most[run].max()),
        usual=float(usual[run].max()),
        crossed_at=min(requests[number].known_at for number in run if crossing[number]),
    )


def _crossings(times: Times, window: float, config: Config) -> Iterator[tuple[int, int, float]]:
    """Yield each request with which a window holds too many: its number, how many, and how many are usual."""
    counts = np.arange(1, len(times) + 1) - np.searchsorted(times, times - window, side="right")
    for last in np.flatnonzero(counts >= config.min_requests).tolist():
        usual = _usual(times, counts, times[last], config)
        if counts[last] > config.usual_times * usual:
            yield last, int(counts[last]), usual


def _usual(times: Times, counts: NDArray[np.int64], time: float, config: Config) -> float:
    """Return the number in a window that was reached on most of the days before that time, 0 if it is too young."""
    if times[0] > time - config.usual_days * DAY:
        return 0.0
    edges = np.searchsorted(times, time - DAY * np.arange(config.usual_days, -1, -1))
    tops = [counts[first:last].max(initial=0) for first, last in itertools.pairwise(edges.tolist())]
    return float(sorted(tops, reverse=True)[round(USUAL_DAYS_SHARE * config.usual_days) - 1])


def _finding(
    history: History,
    row: int,
    requester: Requester,
    group: tuple[str, str],
    run: _Run,
    requests: Sequence[AccessRequest],
    config: Config,
) -> Finding:
    times = np.array([request.time for request in run.requests])
    start, end = float(times[0]), float(times[-1])
    gaps = np.diff(times)
    cv = float(gaps.std() / gaps.mean()) if gaps.sum() > 0 else 0.0
    regular = cv < config.regular_cv
    units = [unit for request in run.requests for unit in request.units if unit.group == group]
    repeated = Counter(unit.shared for unit in units).most_common(1)[0][1] / len(units)
    resources = {unit.resource_id or unit.resource for unit in units}
    enumerated = len(resources) / len(units)
    awake = max(_hours_of_day(times), default=0)
    many = run.most >= 2 * max(config.min_requests, config.usual_times * run.usual)
    signs = [
        sign
        for sign, holds in (
            (f"at regular intervals of {wording.span(float(np.median(gaps)))}", regular),
            ("for the same each time", repeated >= config.same_share),
            (f"for {len(resources):,} resources in turn", enumerated >= config.same_share),
            (f"in {awake} hours of a day", awake > config.awake_hours),
            ("more than twice as many as the limit", many),
        )
        if holds
    ]
    severity = MEDIUM if regular or many else LOW
    if regular and (many or awake > config.awake_hours):
        severity = HIGH
    before = sum(start - config.usual_days * DAY <= request.time < start for request in requests)
    expected = (before + 0.5) * config.window_minutes * 60 / (config.usual_days * DAY)
    p = float(scipy.stats.poisson.sf(run.most - 1, expected))
    who, span = history.entities[row], wording.span(config.window_minutes * 60)
    where = " ".join(filter(None, group)) or "one integration"
    limit = config.min_requests - 1
    if run.usual:
        limit = max(limit, int(config.usual_times * run.usual))
    return access_finding(
        DETECTOR.type,
        history,
        who,
        run.requests,
        units=units,
        start=start,
        end=end + SECOND,
        raised_at=run.crossed_at,
        observation=Observation(run.most, expected, limit, p, "similar requests"),
        history_days=min(max(0.0, start - requester.first_seen) / DAY, config.usual_days),
        severity=severity,
        score=max(min(0.2 + 0.2 * len(signs), 1.0), scoring.floor_score(severity)),
        description=f"{wording.plural(run.most, 'similar request')} in {span} to {where}"
        + (", at regular intervals" if regular else "")
        + (f", {len(times):,} in {wording.span(end - start)}" if len(times) > run.most else ""),
        topic=_topic(group),
        signs=signs,
        gap_cv=cv,
        usual=run.usual,
        why=f"{who} made {wording.plural(len(times), 'similar request')} to {where}"
        f"{f', {run.most:,} of them' if len(times) > run.most else ''} within {span}"
        f"{', ' + wording.listing(signs, most=5) if signs else ''}. "
        + (
            f"On most of the {config.usual_days} days before, this account made {wording.number(run.usual)} in {span}."
            if run.usual
            else f"From {wording.number(config.min_requests)} in {span} on they count as made by code; in the "
            f"{config.usual_days} days before there were {f'{before:,} in all' if before else 'none'}."
        )
        + f" The gaps deviate by {wording.percent(round(cv, 4))} of their mean.",
        config=config,
        version=VERSION,
    )


def _hours_of_day(times: Times) -> list[int]:
    """Return in how many clock hours of each day there are requests, days counted from the first."""
    hours = np.unique((times - times[0]) // HOUR)
    return [int(count) for count in Counter((hours // (DAY // HOUR)).tolist()).values()]


def _topic(group: tuple[str, str]) -> str:
    topic = "/".join(group)
    return topic if len(topic) <= MOST_TOPIC else hashlib.sha256(topic.encode()).hexdigest()


DETECTOR = Detector(
    type="access_automation",
    label="Access automation detected",
    short="Access automation",
    meaning="Code has made repeated requests with similar scope.",
    risk="Control Bypass",
    entity="user",
    may_indicate=("Someone is using CLI commands or other cloud automations to bypass the just-in-time mechanism.",),
    recommended_actions=("Investigate the request with the requester.",),
    version=VERSION,
    counts="access_requests",
    window=lambda parameters: 60.0 * parameters.get("window_minutes", 60),
    explains=True,
    config=Config,
    detect=detect,
    chart=chart,
    screen=screening.after_requests,
)

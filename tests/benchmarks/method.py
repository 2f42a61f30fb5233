"""How well the statistics do where the truth is known: simulated months with spikes, and the tweets of NAB.

All in memory. Each function returns figures; nothing is printed.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import interval
from anomalies.detection.detectors import high_failure_rate, rate_drop, rate_spike
from anomalies.detection.finding import PATTERN_CHANGE, Finding
from anomalies.detection.history import DAY, HOUR, Calendar, Counts, History, Peers

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

START = 1_767_571_200.0  # Monday 2026-01-05 00:00 UTC
WARM_UP_DAYS = 15
MINUTES_BEFORE = 2  # days of minutes and of 5 minutes before what is judged
GROUP_DAYS, NEW_DAYS = 30, 3  # that a group is known when its newcomers come, and that these are new


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a simulated month differs from a Poisson one; spikes multiply the mean of 1 to 3 hours."""

    name: str
    dispersion: tuple[float, float] = (0.0, 0.0)  # drawn evenly for each series
    drift: float = 0.0  # standard deviation of a day's step of the log level
    weekday: float = 0.0  # standard deviation of the log factor of each weekday
    contamination: float = 0.0  # share of hours of the warm-up that are spikes
    size: tuple[float, float] = (3.0, 5.0)


SCENARIOS = (
    Scenario("Poisson"),
    Scenario("over-dispersed", dispersion=(0.1, 0.3), size=(5.0, 10.0)),
    Scenario("over-dispersed, 3 to 5 times", dispersion=(0.1, 0.3)),
    Scenario("drift", dispersion=(0.02, 0.05), drift=0.05),
    Scenario("strong drift", dispersion=(0.02, 0.05), drift=0.1),
    Scenario("weekday", dispersion=(0.02, 0.05), weekday=0.4),
    Scenario("contaminated", dispersion=(0.02, 0.05), contamination=0.02),
)


@dataclass(frozen=True, slots=True)
class Month:
    history: History
    mean: Floats  # (n, t) of each hour, without the spikes
    dispersion: Floats  # (n,)
    spikes: tuple[tuple[int, float, float], ...]  # row, start, end

    @property
    def series_days(self) -> float:
        return len(self.history.entities) * (self.history.until - float(self.history.judge_from[0])) / DAY


@dataclass(frozen=True, slots=True)
class Figures:
    spikes: int
    found: int
    true: int  # findings that overlap a spike
    false: int
    false_a_day: float  # of 1,000 series
    median_delay_seconds: float | None

    @property
    def recall(self) -> float:
        return self.found / self.spikes if self.spikes else 1.0

    @property
    def precision(self) -> float:
        return self.true / (self.true + self.false) if self.true + self.false else 1.0

    @property
    def f1(self) -> float:
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0


def month(scenario: Scenario, *, series: int = 500, days: int = 30, spikes: int = 200, seed: int = 1) -> Month:
    """Return series of mixed levels (2 to 200 an hour at their busiest), half of them asleep at night and weekends."""
    rng = np.random.default_rng(seed)
    t = 24 * (WARM_UP_DAYS + days)
    hour = np.arange(t)
    level = np.exp(rng.uniform(np.log(2), np.log(200), (series, 1)))
    office = np.where((hour % 24 >= 8) & (hour % 24 < 18) & (hour // 24 % 7 < 5), 1.0, 0.05)
    peak = rng.integers(0, 24, (series, 1))
    always = 0.65 + 0.35 * np.cos(2 * np.pi * (hour[None, :] - peak) / 24)
    mean = level * np.where(np.arange(series)[:, None] % 2 == 0, office[None, :], always)
    mean = mean * np.exp(rng.normal(0, scenario.weekday, (series, 7)))[:, hour // 24 % 7]
    steps = rng.normal(0, scenario.drift, (series, t // 24)).cumsum(axis=1)
    mean = mean * np.exp(np.repeat(steps, 24, axis=1))
    dispersion = rng.uniform(*scenario.dispersion, series)

    factor = np.ones((series, t))
    strange = rng.random((series, 24 * WARM_UP_DAYS)) < scenario.contamination
    factor[:, : 24 * WARM_UP_DAYS][strange] = rng.uniform(*scenario.size, int(strange.sum()))
    placed: list[tuple[int, float, float]] = []
    while len(placed) < spikes:
        row, first = int(rng.integers(series)), int(rng.integers(24 * WARM_UP_DAYS + 24, t - 4))
        last = first + int(rng.integers(1, 4))
        near = slice(max(0, first - 12), last + 12)
        if mean[row, first:last].min() >= 10 and (factor[row, near] == 1).all():
            factor[row, first:last] = rng.uniform(*scenario.size)
            placed.append((row, START + HOUR * first, START + HOUR * last))
    rate = mean * factor
    spread = np.maximum(dispersion, 1e-9)[:, None]
    rate = np.where(dispersion[:, None] > 0, rng.gamma(1 / spread, rate * spread), rate)
    requests = rng.poisson(rate).astype(np.int32)
    since = 24 * (WARM_UP_DAYS - MINUTES_BEFORE)
    minutes = rng.multinomial(requests[:, since:], np.full(60, 1 / 60)).astype(np.int32).reshape(series, -1)
    made = history(requests, minutes, judge_from=START + DAY * WARM_UP_DAYS)
    return Month(made, mean, dispersion, tuple(sorted(placed)))


def newcomers(*, groups: int = 40, members: int = 10, newcomers: int = 5, spread: float = 0.5, seed: int = 1) -> Month:
    """Return the first days of agents whose groups are known, half of them with a spike of 10 to 20 times the usual.

    Groups do 2 to 5,000 an hour at their busiest, half of them in office hours alone; `spread` is the standard
    deviation of the log level of agents in a group, newcomers among them.
    """
    rng = np.random.default_rng(seed)
    first, t = 24 * GROUP_DAYS, 24 * (GROUP_DAYS + NEW_DAYS)
    hour = np.arange(t)
    office = np.where((hour % 24 >= 8) & (hour % 24 < 18) & (hour // 24 % 7 < 5), 1.0, 0.05)
    drawn, placed, peers = [], [], {}
    for number in range(groups):
        level, dispersion = np.exp(rng.uniform(np.log(2), np.log(5000))), rng.uniform(0.1, 0.3)
        always = 0.65 + 0.35 * np.cos(2 * np.pi * (hour - rng.integers(0, 24)) / 24)
        usual = level * (always if number % 2 else office)
        factor = np.exp(rng.normal(0, spread, (members + newcomers, 1))) * np.ones((1, t))
        factor[members:, :first] = 0
        for row in np.flatnonzero(rng.random(newcomers) < 0.5).tolist():
            begin = int(rng.choice(np.flatnonzero(usual[first + 1 : -3] >= 0.5 * usual[first + 1 : -3].max())))
            begin, length = first + 1 + begin, int(rng.integers(1, 4))
            factor[members + row, begin : begin + length] *= rng.uniform(10, 20)
            placed.append((newcomers * number + row, START + HOUR * begin, START + HOUR * (begin + length)))
        requests = rng.poisson(rng.gamma(1 / dispersion, usual * factor * dispersion)).astype(np.int32)
        group = Peers(f"group {number}", START, requests[:members], np.full(members, START))
        peers |= {f"ag_{newcomers * number + row}": group for row in range(newcomers)}
        drawn.append(requests[members:])
    counts = np.concatenate(drawn)
    minutes = rng.multinomial(counts[:, first - 48 :], np.full(60, 1 / 60)).astype(np.int32).reshape(len(counts), -1)
    came = START + HOUR * first
    made = replace(history(counts, minutes, judge_from=came), first_time=np.full(len(counts), came), peers=peers)
    tenant = np.full((1, t), 10**5, dtype=np.int32)  # far more than the prior
    return Month(
        replace(made, tenant=replace(made.tenant, requests=tenant)),
        np.zeros((0, 0)),
        np.zeros(0),
        tuple(sorted(placed)),
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """What was found of series that move to another level for good."""

    a_series: float  # anomalies, but for those of the spikes on the new level
    missed: float  # share of series in which nothing was found of it
    named: float  # share in which it is called a change of pattern
    spikes: int
    spikes_found: int


def changes(*, times: float, office: bool, dispersion: float = 0.05, series: int = 80, seed: int = 1) -> Changes:
    """Return what is found of series whose level is `times` as high from somewhen in a week on, with 4 weeks before.

    By rate_spike where it rises, each then with a spike of five times the new level for an hour, days later; by
    rate_drop where it falls.
    """
    rng = np.random.default_rng(seed)
    first, t = 24 * 30, 24 * 44
    hour = np.arange(t)
    level = np.exp(rng.uniform(np.log(20), np.log(200), (series, 1)))
    at_work = np.where((hour % 24 >= 8) & (hour % 24 < 18) & (hour // 24 % 7 < 5), 1.0, 0.05)
    always = 0.65 + 0.35 * np.cos(2 * np.pi * (hour[None, :] - rng.integers(0, 24, (series, 1))) / 24)
    mean = level * (np.broadcast_to(at_work, (series, t)) if office else always)
    changed = first + rng.integers(0, 24 * 7, series)
    factor = np.where(hour >= changed[:, None], times, 1.0)
    spikes: dict[int, float] = {}
    for row in range(series if times > 1 else 0):
        busy = np.flatnonzero((mean[row] >= 0.8 * level[row]) & (hour > changed[row] + 96) & (hour < t - 2))
        at = int(rng.choice(busy))
        factor[row, at] *= 5
        spikes[row] = START + HOUR * at
    rate = mean * factor
    rate = rng.gamma(1 / dispersion, rate * dispersion) if dispersion else rate
    requests = rng.poisson(rate).astype(np.int32)
    minutes = rng.multinomial(requests[:, first - 48 :], np.full(60, 1 / 60)).astype(np.int32).reshape(series, -1)
    made = history(requests, minutes, judge_from=START + HOUR * first)
    found = rate_spike.detect(made, rate_spike.Config()) if times > 1 else rate_drop.detect(made, rate_drop.Config())
    of_spikes, of_change = set(), defaultdict(list)
    for one in found:
        row = made.entities.index(one.entity)
        if row in spikes and one.start < spikes[row] + HOUR and spikes[row] < one.end:
            of_spikes.add(row)
        else:
            of_change[row].append(one.deviation)
    return Changes(
        a_series=sum(map(len, of_change.values())) / series,
        missed=1 - len(of_change) / series,
        named=sum(PATTERN_CHANGE in deviations for deviations in of_change.values()) / series,
        spikes=len(spikes),
        spikes_found=len(of_spikes),
    )


@dataclass(frozen=True, slots=True)
class Refusals:
    """What was found of agents that are refused more often for their next 15 to 40 requests."""

    recall: float
    median_delay_days: float | None
    findings: int  # of those that are, each for one cause
    false_agents: int  # of those that never are, in 30 days


def refusals(*, a_day: float, concentration: float = 30.0, agents: int = 300, seed: int = 1) -> Refusals:
    """Return what high_failure_rate finds of agents with so many requests a day, in office hours, judged for 30 days.

    5 in 100 are refused, by a rate that differs from day to day as a beta distribution of that concentration; of half
    of the agents, from somewhen on, 50 to 90 in 100.
    """
    rng = np.random.default_rng(seed)
    days, judged = 75, 45
    hour = np.arange(24 * days)
    at_work = np.where((hour % 24 >= 8) & (hour % 24 < 18) & (hour // 24 % 7 < 5), 1.0, 0.02)
    requests = rng.poisson(a_day / 24 * at_work / at_work.mean(), (agents, len(hour))).astype(np.int32)
    rate = rng.beta(0.05 * concentration, 0.95 * concentration, (agents, days)).repeat(24, axis=1)
    since = np.full(agents, np.inf)
    for row in range(0, agents, 2):
        at = np.flatnonzero((hour >= 24 * judged + rng.integers(24 * 10)) & (requests[row] > 0))
        at = at[np.cumsum(requests[row, at]) <= rng.integers(15, 41)]
        if len(at):
            rate[row, at], since[row] = rng.uniform(0.5, 0.9), START + HOUR * at[0]
    failures = rng.binomial(requests, rate).astype(np.int32)
    made = history(requests, np.zeros((agents, 60 * 24), dtype=np.int32), judge_from=START + DAY * judged)
    tenant = replace(made.tenant, failures=failures.sum(axis=0, keepdims=True, dtype=np.int32))
    made = replace(made, hours=replace(made.hours, failures=failures), tenant=tenant)
    raised: dict[int, list[float]] = defaultdict(list)
    for one in high_failure_rate.detect(made, high_failure_rate.Config()):
        raised[made.entities.index(one.entity)].append(one.raised_at)
    late = {row: min(times) - since[row] for row, times in raised.items() if max(times) > since[row]}
    return Refusals(
        recall=len(late) / int(np.isfinite(since).sum()),
        median_delay_days=median(late.values()) / DAY if late else None,
        findings=sum(len(raised[row]) for row in late),
        false_agents=sum(not np.isfinite(since[row]) for row in raised),
    )


def history(hourly: Ints, minutes: Ints, *, judge_from: float, start: float = START) -> History:
    """Return agents with those counts, (n, t) by the hour from `start` on, the minutes ending with them; all UTC."""
    n, t = hourly.shape
    finer = start + HOUR * t - 60 * minutes.shape[1]
    week = np.broadcast_to((np.arange(t) + (start // DAY + 3) % 7 * 24).astype(np.int64) % 168, (n, t)).astype(np.int16)

    def counts(begin: float, width: int, requests: Ints) -> Counts:
        return Counts(begin, width, requests, np.broadcast_to(np.int32(0), requests.shape))

    return History(
        kind="agent",
        entities=tuple(f"ag_{row}" for row in range(n)),
        actions=("",) * n,
        until=start + HOUR * t,
        judge_from=np.full(n, judge_from),
        first_time=np.full(n, start),
        hours=counts(start, HOUR, hourly),
        fives=counts(finer, 300, minutes.reshape(n, -1, 5).sum(axis=2, dtype=np.int32)),
        minutes=counts(finer, 60, minutes),
        calendar=Calendar(("UTC",) * n, week, week // 24 >= 5, np.zeros(n, np.bool_), np.zeros((n, t), np.bool_)),
        tenant=counts(start, HOUR, hourly.sum(axis=0, keepdims=True, dtype=np.int32)),
        meetings=(),
        attempts={},
    )


def measure(made: Month, found: Sequence[Finding]) -> Figures:
    """Hold findings against the spikes that overlap them."""
    row_of = {entity: row for row, entity in enumerate(made.history.entities)}
    first: dict[tuple[int, float, float], float] = {}
    true = 0
    for one in found:
        row = row_of[one.entity]
        met = [spike for spike in made.spikes if spike[0] == row and one.start < spike[2] and spike[1] < one.end]
        true += bool(met)
        for spike in met:
            first[spike] = min(first.get(spike, np.inf), one.raised_at)
    delays = [max(raised - spike[1], 0.0) for spike, raised in first.items()]
    false = len(found) - true
    return Figures(
        spikes=len(made.spikes),
        found=len(first),
        true=true,
        false=false,
        false_a_day=1000 * false / made.series_days,
        median_delay_seconds=median(delays) if delays else None,
    )


def of_scenario(scenario: Scenario, config: rate_spike.Config = rate_spike.Config(), **how: int) -> Figures:  # noqa: B008
    """Return how rate_spike does in a simulated month."""
    made = month(scenario, **how)
    return measure(made, rate_spike.detect(made.history, config))


def false_drops(scenario: Scenario, config: rate_drop.Config = rate_drop.Config(), **how: int) -> float:  # noqa: B008
    """Return how many drops a day rate_drop finds among 1,000 series in a month that has none."""
    made = month(replace(scenario, size=(1.0, 1.0)), **how)
    return 1000 * len(rate_drop.detect(made.history, config)) / made.series_days


@dataclass(frozen=True, slots=True)
class Tweets:
    """The windows of a file of NAB, and which findings, or 3-sigma intervals, meet them."""

    name: str
    windows: int
    found: int
    false: int
    sigma_found: int
    sigma_false: int
    missed: tuple[str, ...]  # windows that 3 sigma finds alone


def nab(folder: Path) -> list[Tweets]:
    """Hold rate_spike, day by day, and a fixed limit of 3 standard deviations against the real tweets of NAB.

    The limit knows the mean and deviation of the whole file; its intervals are joined as ours are.
    """
    windows = json.loads((folder / "windows.json").read_text())
    return [_tweets(path, windows[f"realTweets/{path.name}"]) for path in sorted((folder / "realTweets").glob("*.csv"))]


def read_nab(path: Path) -> tuple[float, Ints]:
    """Return the UTC midnight that a file begins after, and its counts by 5 minutes of whole days, (t,)."""
    with path.open() as file:
        rows = [(_seconds(row["timestamp"]), int(row["value"])) for row in csv.DictReader(file)]
    start = rows[0][0] // DAY * DAY
    slots = np.array([int((time - start) // 300) for time, _ in rows])
    days = int(slots.max()) // 288 + 1
    counts = np.bincount(slots, weights=[value for _, value in rows], minlength=288 * days)
    return start, counts.astype(np.int32)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()


def _tweets(path: Path, labelled: Sequence[Sequence[str]]) -> Tweets:
    start, fives = read_nab(path)
    windows = [(_seconds(begin), _seconds(end)) for begin, end in labelled]
    hourly = fives.reshape(1, -1, 12).sum(axis=2, dtype=np.int32)
    made = history(hourly, np.zeros((1, 5 * len(fives)), dtype=np.int32), judge_from=start, start=start)
    empty = np.zeros((1, len(fives)), dtype=np.int32)
    first = start + 300 * int(np.flatnonzero(fives)[0])
    made = replace(made, fives=Counts(start, 300, fives[None, :], empty), first_time=np.array([first]))
    ours = [(one.start, one.end) for one in rate_spike.detect(made, rate_spike.Config())]
    far = fives > fives.mean() + 3 * fives.std()
    theirs = [(start + 300 * a, start + 300 * (b + 1)) for a, b in interval.runs(far, far, 300)]

    def meets(spans: Sequence[tuple[float, float]], window: tuple[float, float]) -> bool:
        return any(begin < window[1] and window[0] < end for begin, end in spans)

    def false(spans: Sequence[tuple[float, float]]) -> int:
        return sum(not meets(windows, span) for span in spans)

    return Tweets(
        name=path.stem,
        windows=len(windows),
        found=sum(meets(ours, window) for window in windows),
        false=false(ours),
        sigma_found=sum(meets(theirs, window) for window in windows),
        sigma_false=false(theirs),
        missed=tuple(
            datetime.fromtimestamp(window[0], UTC).isoformat()
            for window in windows
            if meets(theirs, window) and not meets(ours, window)
        ),
    )

"""High failure rate: far more requests than usual were refused, or somebody is guessing credentials."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from anomalies.detection import brute_force, failure_ratio, interval, last_attempts, scoring, wording
from anomalies.detection.chart import BAND, Chart, judged_buckets
from anomalies.detection.detector import Detector, Learning, Seen
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding, Interval, metric, plain
from anomalies.detection.history import DAY, HOUR, Counts, History
from anomalies.detection.last_attempts import LastAttempts
from anomalies.detection.parameter import parameter
from anomalies.detection.screening import Glance, Mask

VERSION = 4

LAST_OPEN_SECONDS = DAY  # without a further refusal


@dataclass(frozen=True, slots=True)
class Config:
    alpha: float = parameter(
        1e-5,
        label="Chance that opens an interval",
        unit="probability",
        low=1e-15,
        high=0.01,
        help="Chance of so many refusals below which an interval opens",
    )
    extend_alpha: float = parameter(
        0.01,
        label="Chance that keeps it open",
        unit="probability",
        low=1e-6,
        high=0.1,
        help="Below it, an interval that is open goes on",
    )
    min_requests: int = parameter(
        10, label="Requests, at least", unit="requests", low=2, high=10_000, help="Least requests to speak of a rate"
    )
    min_failures: int = parameter(
        5, label="Failures, at least", unit="failures", low=1, high=10_000, help="Least failures"
    )
    min_excess_ratio: float = parameter(
        0.1,
        label="Above the usual rate by",
        unit="ratio",
        low=0,
        high=1,
        help="By how much the rate surely exceeds the usual one (Wilson bound)",
    )
    concentration: float = parameter(
        30.0,
        label="Steadiness of an unknown rate",
        unit="requests",
        low=5,
        high=500,
        help="How steady a rate is until the entity's own history says more",
    )
    history_days: float = parameter(
        30.0, label="History of the usual rate", unit="days", low=1, high=60, help="History of the usual rate"
    )
    settled_days: float = parameter(
        7.0,
        label="Severity in full after",
        unit="days",
        low=0,
        high=60,
        help="Younger than this, severity by rate is medium at most",
    )
    brute_force_failures: int = parameter(
        20,
        label="Brute force, failures in an hour",
        unit="failures",
        low=3,
        high=10_000,
        help="In an hour, of one address or user",
    )
    spraying_users: int = parameter(
        10,
        label="Spraying, users in 10 minutes",
        unit="users",
        low=2,
        high=1000,
        help="Failing from one address in 10 minutes",
    )
    failures_before_success: int = parameter(
        10,
        label="Failures before a success",
        unit="failures",
        low=2,
        high=10_000,
        help="In a row before a success, which then is severe",
    )
    guessing_share: float = parameter(
        0.5,
        label="Share of failures to call it guessing",
        unit="ratio",
        low=0,
        high=1,
        help="Least share of failures among an hour's attempts to call it guessing",
    )
    quiet_minutes: float = parameter(
        15.0,
        label="A spell ends after quiet of",
        unit="minutes",
        low=1,
        high=60,
        help="Without a failure, that end a spell",
    )

    @property
    def limits(self) -> failure_ratio.Limits:
        return failure_ratio.Limits(
            alpha=self.alpha,
            min_requests=self.min_requests,
            min_failures=self.min_failures,
            min_excess=self.min_excess_ratio,
            concentration=self.concentration,
            history_days=self.history_days,
        )

    @property
    def rules(self) -> brute_force.Rules:
        return brute_force.Rules(
            failures=self.brute_force_failures,
            users=self.spraying_users,
            users_seconds=600.0,
            failures_before_success=self.failures_before_success,
            share=self.guessing_share,
            quiet_seconds=60 * self.quiet_minutes,
        )


@dataclass(frozen=True, slots=True)
class _Rate:
    """A spell of an improbable rate, with the figures of its most surprising bucket, or of its last attempts."""

    interval: Interval
    start: float  # of that bucket, or of these attempts
    end: float
    p: float
    failures: int
    requests: int
    usual: float
    upper: float
    history_days: float
    raised_at: float
    total: int


def detect(history: History, config: Config) -> list[Finding]:
    """Return the spells in which entities were refused too often.

    k of n requests of a bucket failed; `p = betabinom.sf(k - 1, n, m0 kappa, (1 - m0) kappa)`. m0 is the entity's
    own ratio of the days before, shrunk to the tenant's; kappa, how steady it is, comes from the intra-class variance
    of its hours, shrunk to `concentration` and kept in 5..500. A bucket is hot if p < alpha, n and k suffice, and
    the Wilson lower bound of k/n exceeds m0 by `min_excess_ratio`. So are the last 20 and 50 requests of whoever made
    fewer in an hour, with a tenth of alpha, without those of hours that are hot by themselves.

    Addresses and principals are held against the rules of `brute_force` besides, whatever their history: they make a
    finding of at least medium severity, high if a success followed. Many users tried from one address are as severe
    as so many failures are improbable: a lock of single accounts does not stop that, and the rate spike that it causes
    is judged so, too.

    Source: Williams (1975), Biometrics 31(4), for the beta-binomial; Wilson (1927), JASA 22.
    """
    rates: dict[int, list[_Rate]] = {}
    for counts in (history.hours, history.fives):
        for row, rate in _rates(history, counts, config):
            rates.setdefault(row, []).append(rate)
    for row, run in last_attempts.spells(history, _complete(history, history.hours), config.limits):
        rates.setdefault(row, []).append(_rate_of_last_attempts(history, row, run))
    row_of = {history.entities[row]: row for row in history.totals}
    guessed = {
        row_of[entity]: [
            spell
            for spell in brute_force.spells(attempts, config.rules, count_users=history.kind == "address")
            if spell.end >= history.judge_from[row_of[entity]]
        ]
        for entity, attempts in history.attempts.items()
    }
    return [
        _finding(history, row, group, config)
        for row in sorted(rates.keys() | guessed.keys())
        for group in _overlapping([*rates.get(row, []), *guessed.get(row, [])])
    ]


def screen(glance: Glance, config: Config) -> Mask:
    """Return the rows with many failures, or of which more failed than of one that never fails may, (n,)."""
    history, limits = glance.history, config.limits
    found = glance.rows_of(glance.news.attempts)
    for counts in (history.hours, history.fives):
        found |= (_complete(history, counts) & limits.possible(counts.requests, counts.failures)).any(axis=1)
    found |= last_attempts.possible(history.hours, _complete(history, history.hours), limits)
    found[len(history.totals) :] = False
    return found


def chart(history: History, config: Config, width: int) -> Chart:
    """Return the failures of the only entity of a history with what its requests let expect."""
    counts, judged = judged_buckets(history, width)
    starts, n = counts.starts[judged], counts.requests[0, judged]
    usual, kappa = np.zeros(len(judged)), np.ones(len(judged))
    for day in np.unique(starts // DAY * DAY).tolist():
        today = starts // DAY * DAY == day
        usual[today], kappa[today] = failure_ratio.usual(history, np.array([0]), day, config.limits)
    return Chart(
        unit="failures",
        width=counts.width,
        starts=starts,
        observed=counts.failures[0, judged],
        expected=usual * n,
        lower=failure_ratio.quantile(1 - BAND, n, usual, kappa),
        upper=failure_ratio.quantile(BAND, n, usual, kappa),
    )


def learning(seen: Seen, config: Config) -> Learning | None:
    """Say whether an agent is too young for severe anomalies of its rate."""
    if seen.age_days >= config.settled_days:
        return None
    why = f"an anomaly above medium by rate needs {wording.plural(config.settled_days, 'day')}"
    return Learning(why, config.settled_days - seen.age_days)


def _rates(history: History, counts: Counts, config: Config) -> Iterator[tuple[int, _Rate]]:
    starts, limits = counts.starts, config.limits
    due = _complete(history, counts)
    enough = due & limits.enough(counts.requests, counts.failures)
    enough[len(history.totals) :] = False
    rows = np.flatnonzero(enough.any(axis=1))
    if not len(rows):
        return
    n, k, due = counts.requests[rows], counts.failures[rows], due[rows]
    days = (starts // DAY * DAY)[due.any(axis=0)]
    p, usual, kappa = np.ones(n.shape), np.zeros(n.shape), np.zeros(n.shape)
    for day in np.unique(days).tolist():
        today = (starts >= day) & (starts < day + DAY)
        own, steadiness = failure_ratio.usual(history, rows, day, limits)
        usual[:, today], kappa[:, today] = own[:, None], steadiness[:, None]
    judged = due & (k > n * usual)
    p[judged] = failure_ratio.tail(n[judged], k[judged], usual[judged], kappa[judged])
    hot = enough[rows] & (p < limits.alpha) & limits.exceeded(n, k, usual)
    for i in np.flatnonzero(hot.any(axis=1)).tolist():
        first_time = float(history.first_time[rows[i]])
        for first, last in interval.runs(hot[i], p[i] < config.extend_alpha, counts.width):
            best = first + int(np.argmin(p[i, first : last + 1]))
            opened = first + int(np.argmax(hot[i, first : last + 1]))
            inside = slice(first, last + 1)
            uppers = failure_ratio.quantile(BAND, n[i, inside], usual[i, inside], kappa[i, inside])
            upper = float(uppers[best - first])
            end = float(starts[last]) + counts.width
            yield (
                int(rows[i]),
                _Rate(
                    interval=Interval(
                        resolution_seconds=counts.width,
                        start=float(starts[first]),
                        end=end,
                        open=interval.is_open(end=end, width=counts.width, until=history.until),
                        peak=float(k[i, first : last + 1].max()),
                        expected=float(usual[i, best] * n[i, best]),
                        upper=upper,
                        sum_deltas=float(np.maximum(k[i, inside] - uppers, 0.0).sum()),
                        score=scoring.score(scoring.surprise(float(p[i, best]))),
                    ),
                    start=float(starts[best]),
                    end=float(starts[best]) + counts.width,
                    p=float(p[i, best]),
                    failures=int(k[i, best]),
                    requests=int(n[i, best]),
                    usual=float(usual[i, best]),
                    upper=upper,
                    history_days=max(0.0, (float(starts[best]) - first_time) / DAY),
                    raised_at=float(starts[opened])
                    + counts.width
                    + (float(history.lag[rows[i]]) if len(history.lag) else 0.0),
                    total=int(n[i, first : last + 1].sum()),
                ),
            )


def _rate_of_last_attempts(history: History, row: int, run: Sequence[LastAttempts]) -> _Rate:
    hours = history.hours
    best = min(run, key=lambda one: one.p)
    refused = np.flatnonzero(hours.failures[row, run[0].first : run[-1].last + 1]) + run[0].first
    start, end = float(hours.starts[refused[0]]), float(hours.starts[run[-1].last]) + HOUR
    upper = float(failure_ratio.quantile(BAND, best.requests, best.usual, best.kappa))
    since = float(hours.starts[best.first])
    return _Rate(
        interval=Interval(
            resolution_seconds=HOUR,
            start=start,
            end=end,
            open=history.until < end + LAST_OPEN_SECONDS,
            peak=float(best.failures),
            expected=best.usual * best.requests,
            upper=upper,
            sum_deltas=max(best.failures - upper, 0.0),
            score=scoring.score(scoring.surprise(best.p)),
        ),
        start=since,
        end=float(hours.starts[best.last]) + HOUR,
        p=best.p,
        failures=best.failures,
        requests=best.requests,
        usual=best.usual,
        upper=upper,
        history_days=max(0.0, (since - float(history.first_time[row])) / DAY),
        raised_at=float(hours.starts[run[0].last]) + HOUR + (float(history.lag[row]) if len(history.lag) else 0.0),
        total=int(hours.requests[row, refused[0] : run[-1].last + 1].sum()),
    )


def _complete(history: History, counts: Counts) -> NDArray[np.bool_]:
    """Return which buckets are to be judged: complete ones, as successes may yet come. Guessing need not wait."""
    ends = counts.starts[None, :] + counts.width
    lag = history.lag[:, None] if len(history.lag) else 0.0
    return np.asarray((ends > history.judge_from[:, None]) & (ends + lag <= history.until))


_Part = _Rate | brute_force.Spell


def _bounds(part: _Part) -> tuple[float, float]:
    return (part.start, part.end) if isinstance(part, brute_force.Spell) else (part.interval.start, part.interval.end)


def _overlapping(parts: list[_Part]) -> list[list[_Part]]:
    groups: list[list[_Part]] = []
    end = -np.inf
    for part in sorted(parts, key=_bounds):
        if groups and _bounds(part)[0] <= end:
            groups[-1].append(part)
        else:
            groups.append([part])
            end = -np.inf
        end = max(end, _bounds(part)[1])
    return groups


def _finding(history: History, row: int, group: list[_Part], config: Config) -> Finding:
    entity = history.entities[row]
    rates = [part for part in group if isinstance(part, _Rate)]
    guessed = [part for part in group if isinstance(part, brute_force.Spell)]
    if guessed:
        return _guessing(history, row, entity, guessed, rates, config)
    best = min(rates, key=lambda rate: rate.p / rate.interval.resolution_seconds)
    finest = min(rate.interval.resolution_seconds for rate in rates)
    exact = [rate for rate in rates if rate.interval.resolution_seconds == finest]
    s = scoring.surprise(best.p)
    severity = _severity(best, config)
    ratio, usual = wording.percent(best.failures / best.requests), wording.percent(best.usual)
    window = wording.span(best.end - best.start)
    intervals = tuple(rate.interval for rate in rates)
    evidence = plain(
        {
            "observed": best.failures,
            "expected": best.usual * best.requests,
            "lower": 0,
            "upper": best.upper,
            "p": best.p,
            "unit": "failures",
            "resolution_seconds": best.interval.resolution_seconds,
            "start": best.start,
            "end": best.end,
            "event_count": max(rate.total for rate in exact),
            "requests": best.requests,
            "usual_ratio": best.usual,
            "history_days": round(best.history_days, 2),
            "parameters": asdict(config),
            "detector_version": VERSION,
            "why": f"{entity} made {best.requests:,} requests in {window}; {best.failures:,} were refused, "
            f"{ratio}. Usually {usual} are, and fewer than {wording.number(best.upper + 1)} of {best.requests:,} "
            f"in 9,999 of 10,000 cases; the chance of so many is {wording.chance(best.p)}.",
        }
    )
    return Finding(
        type=DETECTOR.type,
        kind=history.kind,
        entity=entity,
        start=min(rate.interval.start for rate in exact),
        end=max(rate.interval.end for rate in exact),
        open=any(rate.interval.open for rate in exact),
        metrics=(metric(DETECTOR.counts, history.kind, entity, intervals, score=scoring.score(s), evidence=evidence),),
        raised_at=min(rate.raised_at for rate in rates),
        score=scoring.score(s),
        severity=severity,
        told_by={"address": ("agent",), "principal": ("agent", "address")}.get(history.kind, ()),
        explained_by={"agent": ("address", "principal"), "address": ("agent",)}.get(history.kind, ("agent", "address")),
        description=f"{ratio} refused{wording.of(history.kind, entity)} "
        f"({best.failures:,} of {best.requests:,} in {window}), usually {usual}",
        evidence=evidence,
    )


def _severity(rate: _Rate, config: Config) -> int:
    """A level lower where the effect is small, medium at most where the history is short."""
    severity = scoring.severity(scoring.surprise(rate.p))
    if rate.failures - rate.usual * rate.requests < 5:
        severity = max(LOW, severity - 1)
    return min(MEDIUM, severity) if rate.history_days < config.settled_days else severity


def _guessing(
    history: History,
    row: int,
    entity: str,
    spells: list[brute_force.Spell],
    rates: list[_Rate],
    config: Config,
) -> Finding:
    """One finding for a spell of guessing; a rate that deviates at the same time is part of it."""
    start, end = min(spell.start for spell in spells), max(spell.end for spell in spells)
    failures = sum(spell.failures for spell in spells)
    success = next((spell for spell in spells if spell.success_at is not None), None)
    partners = list(dict.fromkeys(name for spell in spells for name in spell.partners))
    days = max(0.0, (start - float(history.first_time[row])) / DAY)
    # How improbable: that many failures in an hour where one is expected, Gamma(1/2).
    most = max(spell.most_in_an_hour for spell in spells)
    p = min([float(scipy.stats.nbinom.sf(most - 1, 0.5, 1 / 3)), *(rate.p for rate in rates)])
    sprayed = any(spell.sprayed for spell in spells)
    by_rule = scoring.severity(scoring.surprise(p)) if sprayed else MEDIUM
    severity = HIGH if success else max([MEDIUM, by_rule, *(_severity(rate, config) for rate in rates)])
    score = max(scoring.score(scoring.surprise(p)), scoring.floor_score(severity))
    noun = "user" if history.kind == "address" else "address"
    among = f"{len(partners):,} {noun}{'' if len(partners) == 1 else 's' if noun == 'user' else 'es'}"
    length = wording.span(max(end - start, 1.0))
    of = wording.of(history.kind, entity)
    if success:
        to = f" for {success.success_for}" if success.success_for and noun == "user" else ""
        description = f"Success{to} after {failures:,} failures{of} in {length}"
    elif sprayed:
        description = f"{failures:,} failures{of} over {among} in {length}"
    else:
        description = f"{failures:,} failures{of} in {length}"
    broken = [
        rule
        for rule, holds in (
            (f"at least {config.brute_force_failures} failures in an hour", most >= config.brute_force_failures),
            (f"at least {config.spraying_users} users tried in 10 minutes", sprayed),
            (f"a success after at least {config.failures_before_success} failures in a row", success is not None),
        )
        if holds
    ]
    tried = f"for {wording.listing(partners)}" if history.kind == "address" else f"from {wording.listing(partners)}"
    then = f"{'for' if noun == 'user' else 'from'} {success.success_for}" if success else ""
    quiet = 60 * config.quiet_minutes
    intervals = (
        Interval(
            resolution_seconds=int(brute_force.HOUR),
            start=start,
            end=end + 1,
            open=history.until < end + quiet,
            peak=float(most),
            expected=1.0,
            upper=float(config.brute_force_failures),
            score=score,
        ),
    )
    evidence = plain(
        {
            "observed": failures,
            "expected": 1.0,
            "lower": 0,
            "upper": config.brute_force_failures,
            "p": p,
            "unit": "failures",
            "resolution_seconds": history.fives.width,
            "start": start,
            "end": end + 1,
            "event_count": failures + (1 if success else 0),
            "most_in_an_hour": most,
            f"{noun}s_tried" if noun == "user" else "addresses": partners[:100],
            "partner_count": len(partners),
            "success_at": success.success_at if success else None,
            "history_days": round(days, 2),
            "parameters": asdict(config),
            "detector_version": VERSION,
            "why": f"{entity} failed {failures:,} times in {length}, {tried}. That breaks "
            f"{wording.plural(len(broken), 'rule')}: {'; '.join(broken)}."
            + (f" Then it succeeded{f', {then}' if success.success_for else ''}." if success else ""),
        }
    )
    return Finding(
        type=DETECTOR.type,
        kind=history.kind,
        entity=entity,
        start=start,
        end=end + 1,
        open=history.until < end + quiet,
        metrics=(metric(DETECTOR.counts, history.kind, entity, intervals, score=score, evidence=evidence),),
        told_by=("address",) if history.kind == "principal" else (),
        explained_by=("address",) if history.kind == "principal" else (),
        raised_at=min(spell.raised_at for spell in spells),
        score=score,
        severity=severity,
        description=description,
        evidence=evidence,
    )


DETECTOR = Detector(
    type="high_failure_rate",
    label="High failure rate",
    meaning="Far more requests than usual were refused, or somebody is guessing credentials.",
    risk="Credential Guessing",
    may_indicate=(
        "Brute force or password spraying.",
        "A token with the wrong scopes, or one that has expired.",
        "An agent that probes what it may do.",
    ),
    recommended_actions=(
        "Look whether a success follows the failures: then treat the account as compromised.",
        "Block the address if it is not one of yours.",
        "Check the grant and scopes of the agent.",
    ),
    version=VERSION,
    counts="failures",
    explains=True,
    config=Config,
    detect=detect,
    chart=chart,
    learning=learning,
    screen=screen,
)

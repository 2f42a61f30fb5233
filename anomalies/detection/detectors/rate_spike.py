"""Rate spike: an agent, user or address did far more than its own history explains."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import baseline, interval, scoring, wording
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector, Learning, Seen
from anomalies.detection.finding import LOW, MEDIUM, Finding, Interval, metric, plain
from anomalies.detection.history import DAY, Counts, History
from anomalies.detection.parameter import parameter

VERSION = 1


@dataclass(frozen=True, slots=True)
class Config:
    alpha_hour: float = parameter(
        1e-5, unit="probability", low=1e-15, high=0.01, help="Chance of such an hour below which an interval opens"
    )
    alpha_five_minutes: float = parameter(
        1e-6, unit="probability", low=1e-15, high=0.01, help="The same for 5 minutes: there are twelve times as many"
    )
    extend_alpha: float = parameter(
        0.01, unit="probability", low=1e-6, high=0.1, help="Below it, an interval that is open goes on"
    )
    min_excess: float = parameter(3.0, unit="events", low=0, high=1e6, help="Least events above the expected count")
    min_ratio: float = parameter(2.0, unit="times", low=1, high=1e3, help="Least multiple of the expected count")
    young_days: float = parameter(
        baseline.YOUNG_DAYS,
        unit="days",
        low=0,
        high=30,
        help="Younger than this, an entity is judged by the prior and its own mean",
    )
    settled_days: float = parameter(
        7.0, unit="days", low=0, high=60, help="Younger than this, severity is medium at most"
    )
    full_days: float = parameter(14.0, unit="days", low=0, high=90, help="Younger than this, alpha is a tenth")
    fit_days: float = parameter(
        baseline.FIT_DAYS, unit="days", low=7, high=90, help="History that the baseline is fitted to"
    )
    prior_events_per_hour: float = parameter(
        baseline.PRIOR.events_per_hour, unit="events", low=0.1, high=1e6, help="Expected of an entity never seen before"
    )
    prior_shape: float = parameter(
        baseline.PRIOR.shape,
        unit="",
        low=0.01,
        high=100,
        help="How sure that is: shape of the Gamma prior, smaller is less sure",
    )
    prior_dispersion: float = parameter(
        baseline.PRIOR.dispersion,
        unit="",
        low=0,
        high=10,
        help="Over-dispersion assumed until the entity's own history says more",
    )
    prior_session: float = parameter(
        baseline.PRIOR.session,
        unit="events",
        low=0,
        high=100,
        help="Further events that come with one, of an entity that acts rarely",
    )

    @property
    def prior(self) -> baseline.Prior:
        return baseline.Prior(self.prior_events_per_hour, self.prior_shape, self.prior_dispersion, self.prior_session)


@dataclass(frozen=True, slots=True)
class _Judged:
    """An interval with the figures of its most surprising bucket."""

    interval: Interval
    bucket: float  # its start
    p: float
    observed: int
    expected: float
    lower: float
    upper: float
    history_days: float
    opened_until: float  # end of its first hot bucket
    total: int
    weekday: str  # on the entity's own clock


def detect(history: History, config: Config) -> list[Finding]:
    """Return the spells in which entities were too busy, one finding for what both resolutions saw.

    p is the negative-binomial tail of a bucket's count given the seasonal mean (`baseline`). A bucket is hot if
    p < alpha and the count exceeds the mean by `min_excess` and `min_ratio`; the finding takes its figures from the
    resolution whose p, times the buckets a day, is smallest, and its interval from the finer one that saw it.
    Buckets still under way are judged by what they hold so far: a count only grows.

    Source: Noufaily et al. (2013), Statistics in Medicine 32(7); interval rules: shared terms in `interval`.
    """
    judged: dict[int, list[_Judged]] = {}
    bands = baseline.of_days(history, prior=config.prior, young_days=config.young_days, fit_days=config.fit_days)
    for counts, alpha in ((history.hours, config.alpha_hour), (history.fives, config.alpha_five_minutes)):
        for row, found in _intervals(history, counts, bands.by_width[counts.width], bands.start, alpha, config):
            judged.setdefault(row, []).append(found)
    return [
        _finding(history.kind, history.entities[row], group, config)
        for row, found_in_row in sorted(judged.items())
        for group in _overlapping(found_in_row)
    ]


def chart(history: History, config: Config, width: int) -> Chart:
    """Return the requests of the only entity of a history with its baseline."""
    return of_requests(history, width, prior=config.prior, young_days=config.young_days, fit_days=config.fit_days)


def learning(seen: Seen, config: Config) -> Learning | None:
    """Say which of a baseline of its own, severe anomalies and the full sensitivity an agent is too young for."""
    stages = {
        "a baseline of its own": config.young_days,
        "an anomaly above medium": config.settled_days,
        "the full sensitivity": config.full_days,
    }
    wanted = {subject: days for subject, days in stages.items() if seen.age_days < days}
    if not wanted:
        return None
    why = wording.listing([f"{subject} needs {wording.plural(days, 'day')}" for subject, days in wanted.items()])
    return Learning(why, max(wanted.values()) - seen.age_days)


def _intervals(
    history: History, counts: Counts, band: baseline.Band, first_day: float, alpha: float, config: Config
) -> Iterator[tuple[int, _Judged]]:
    offset = counts.index(first_day)
    observed = counts.requests[:, offset : offset + band.mean.shape[1]]
    band = band.until(observed.shape[1])
    starts = counts.starts[offset : offset + observed.shape[1]]
    due = (starts[None, :] + counts.width > history.judge_from[:, None]) & (starts < history.until)[None, :]
    p = np.where(due, band.tail(observed), 1.0)
    large = (observed - band.mean >= config.min_excess) & ((observed + 1) / (band.mean + 1) >= config.min_ratio)
    threshold = np.where(band.history_days < config.full_days, alpha / 10, alpha)
    hot = (p < threshold) & large
    hot[len(history.totals) :] = False
    for row in np.flatnonzero(hot.any(axis=1)).tolist():
        warm = (p[row] < config.extend_alpha) & due[row]
        for first, last in interval.runs(hot[row], warm):
            inside = slice(first, last + 1)
            best = first + int(np.argmin(p[row, inside]))
            opened = first + int(np.argmax(hot[row, inside]))
            yield (
                row,
                _judge(
                    counts.width,
                    starts,
                    observed[row],
                    p[row],
                    band.row(row),
                    first,
                    last,
                    best,
                    opened,
                    history.until,
                    weekday=wording.WEEKDAYS[
                        history.calendar.hour_of_week[row, history.hours.index(float(starts[best]))] // 24
                    ],
                ),
            )


def _judge(
    width: int,
    starts: NDArray[np.float64],
    observed: NDArray[np.int32],
    p: NDArray[np.float64],
    band: baseline.Band,
    first: int,
    last: int,
    best: int,
    opened: int,
    until: float,
    *,
    weekday: str,
) -> _Judged:
    at = band.at(best)
    end = float(starts[last]) + width
    upper = float(at.quantile(0.9999)[0, 0])
    return _Judged(
        interval=Interval(
            resolution_seconds=width,
            start=float(starts[first]),
            end=end,
            open=interval.is_open(end=end, width=width, until=until),
            peak=float(observed[first : last + 1].max()),
            expected=float(at.mean[0, 0]),
            upper=upper,
            score=scoring.score(scoring.surprise(float(p[best]))),
        ),
        bucket=float(starts[best]),
        p=float(p[best]),
        observed=int(observed[best]),
        expected=float(at.mean[0, 0]),
        lower=float(at.quantile(0.0001)[0, 0]),
        upper=upper,
        history_days=float(at.history_days[0, 0]),
        opened_until=float(starts[opened]) + width,
        total=int(observed[first : last + 1].sum()),
        weekday=weekday,
    )


def _overlapping(found: list[_Judged]) -> list[list[_Judged]]:
    """Group what both resolutions saw of the same spell."""
    groups: list[list[_Judged]] = []
    end = -np.inf
    for one in sorted(found, key=lambda one: one.interval.start):
        if groups and one.interval.start < end:
            groups[-1].append(one)
        else:
            groups.append([one])
            end = -np.inf
        end = max(end, one.interval.end)
    return groups


def _finding(kind: str, entity: str, group: list[_Judged], config: Config) -> Finding:
    best = min(group, key=lambda one: one.p / one.interval.resolution_seconds)
    finest = min(one.interval.resolution_seconds for one in group)
    exact = [one for one in group if one.interval.resolution_seconds == finest]
    p = best.p
    s = scoring.surprise(p)
    severity = scoring.severity(s)
    ratio = (best.observed + 1) / (best.expected + 1)
    excess = best.observed - best.expected
    if ratio < 2 or excess < 5 or best.history_days < config.full_days:
        severity = max(LOW, severity - 1)
    if best.history_days < config.settled_days:
        severity = min(MEDIUM, severity)
    width = best.interval.resolution_seconds
    window = wording.span(width)
    observed, expected = wording.number(best.observed), wording.number(best.expected)
    intervals = tuple(one.interval for one in group)
    evidence = plain(
        {
            "observed": best.observed,
            "expected": best.expected,
            "lower": best.lower,
            "upper": best.upper,
            "p": p,
            "unit": "requests",
            "resolution_seconds": width,
            "start": best.bucket,
            "end": best.bucket + width,
            "event_count": max(one.total for one in exact),
            "history_days": round(best.history_days, 2),
            "parameters": asdict(config),
            "detector_version": VERSION,
            "why": _why(entity, best, window, config),
            "also": [
                {
                    "resolution_seconds": one.interval.resolution_seconds,
                    "observed": one.observed,
                    "expected": one.expected,
                    "p": one.p,
                    "start": one.bucket,
                }
                for one in group
                if one is not best
            ],
        }
    )
    return Finding(
        type=DETECTOR.type,
        kind=kind,
        entity=entity,
        start=min(one.interval.start for one in exact),
        end=max(one.interval.end for one in exact),
        open=any(one.interval.open for one in exact),
        metrics=(metric("requests", kind, entity, intervals, score=scoring.score(s), evidence=evidence),),
        raised_at=min(one.opened_until for one in group),
        score=scoring.score(s),
        severity=severity,
        told_by=() if kind == "agent" else ("agent",),
        description=f"{observed} requests{wording.of(kind, entity)} in {window}, {expected} expected",
        evidence=evidence,
    )


def _why(entity: str, best: _Judged, window: str, config: Config) -> str:
    observed, expected = wording.number(best.observed), wording.number(best.expected)
    times = wording.number(best.observed / best.expected) if best.expected > 0.05 else None
    if best.history_days < config.young_days:
        known = (
            f"{entity} is known for {wording.span(best.history_days * DAY)} only"
            if best.history_days * DAY >= 60
            else f"{entity} was never seen before"
        )
        first = f"{known}, so it is judged as newcomers are: they make {expected} requests in {window}"
    else:
        first = f"At this hour on a {best.weekday} {entity} makes {expected} requests in {window}"
    return (
        f"{first}, and fewer than {wording.number(best.upper + 1)} in 9,999 of 10,000 cases. It made {observed}"
        f"{f', {times} times as many' if times else ''}; the chance of that is {wording.chance(best.p)}."
    )


DETECTOR = Detector(
    type="rate_spike",
    label="Rate spike",
    meaning="An agent, user or address did far more than its own history explains.",
    may_indicate=(
        "A job looping on a failed call.",
        "A leaked token used elsewhere.",
        "A bulk export or an enumeration of resources.",
    ),
    recommended_actions=(
        "Compare its addresses and actions with the usual ones.",
        "If it is not a known job, suspend the agent or revoke its grants.",
        "If it is a known job, acknowledge it with a note for the next time.",
    ),
    version=VERSION,
    config=Config,
    detect=detect,
    chart=chart,
    learning=learning,
)

"""Rate drop: an agent did far less than its own history lets expect."""

from dataclasses import asdict, dataclass

import numpy as np
import scipy

from anomalies.detection import baseline, deviation, scoring, wording
from anomalies.detection.baseline import Rows
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector, Learning, Seen
from anomalies.detection.deviation import Deviation, Limits, Spell
from anomalies.detection.finding import LOW, MEDIUM, PATTERN_CHANGE, TRANSIENT, Finding, plain
from anomalies.detection.history import DAY, History
from anomalies.detection.parameter import parameter
from anomalies.detection.prior import PRIOR
from anomalies.detection.screening import Glance, Mask

VERSION = 3
WEEKS_BEFORE = 4  # whose same hours and days are a first guess at what is expected
LEAST_WEEKS = 2
# What falls short of that guess, and would be improbable even of a Poisson count of one and a half times the guess, is
# worth a baseline. Of 5,000 Poisson agents with 10 an hour 403 are; the look takes 0.1 s, their baselines would 1.4 s.
GUESS_RATIO = 0.75
GUESS_GROWTH = 1.5
GUESS_P = 1e-4


@dataclass(frozen=True, slots=True)
class Config:
    false_alarms_per_day: float = parameter(
        1.0,
        label="False alarms to put up with",
        unit="a day per 1,000 series",
        low=1e-6,
        high=1000,
        help="False alarms to put up with, at all resolutions together: fewer also means less is found",
    )
    extend_alpha: float = parameter(
        0.01,
        label="Chance that keeps it open",
        unit="probability",
        low=1e-6,
        high=0.1,
        help="Below it, an interval that is open goes on",
    )
    min_expected: float = parameter(
        10.0,
        label="Expected, at least",
        unit="events",
        low=1,
        high=1e6,
        help="Least events expected in an hour or day to speak of a drop",
    )
    min_ratio: float = parameter(
        2.0,
        label="Fewer than expected, at least",
        unit="times",
        low=1,
        high=1e3,
        help="Least times fewer than expected",
    )
    full_days: float = parameter(
        14.0, label="Judged after", unit="days", low=14, high=90, help="Younger agents have no drops"
    )
    fit_days: float = parameter(
        baseline.FIT_DAYS,
        label="History of the baseline",
        unit="days",
        low=7,
        high=90,
        help="History that the baseline is fitted to",
    )

    @property
    def limits(self) -> Limits:
        return Limits(
            up=False,
            false_alarms_per_day=self.false_alarms_per_day,
            extend_alpha=self.extend_alpha,
            min_excess=0.0,
            min_ratio=self.min_ratio,
            min_expected=self.min_expected,
            full_days=self.full_days,
            prior=PRIOR,
            young_days=self.full_days,
            fit_days=self.fit_days,
        )


def detect(history: History, config: Config) -> list[Finding]:
    """Return the spells in which agents did too little.

    p is the lower negative-binomial tail of the count of a complete hour or day, given the same seasonal mean as that
    of spikes; alpha follows from the budget of false alarms. Only where `min_expected` are expected, and only all that
    an agent does: users and addresses come and go, and so do single actions. It ends when the agent is back, or when
    its level has been usual for a day.

    Source: Noufaily et al. (2013), Statistics in Medicine 32(7); what is joined to one finding: `deviation`.
    """
    if history.kind != "agent":
        return []
    rows = _worth_a_baseline(history, config)
    spells = deviation.spells(history, config.limits, rows) if len(rows) else []
    return [_finding(history, spell, config) for spell in spells]


def screen(glance: Glance, config: Config) -> Mask:
    """Return the agents with an hour that may be too quiet."""
    if glance.history.kind != "agent":
        return np.zeros(len(glance.history.entities), dtype=np.bool_)
    found = deviation.screen(glance, config.limits)
    found[len(glance.history.totals) :] = False
    return found


def chart(history: History, config: Config, width: int) -> Chart:
    """Return the requests of the only entity of a history with its baseline."""
    return of_requests(history, width, fit_days=config.fit_days)


def learning(seen: Seen, config: Config) -> Learning | None:
    """Say whether an agent is too young for drops."""
    if seen.age_days >= config.full_days:
        return None
    return Learning(f"a drop needs {wording.plural(config.full_days, 'day')}", config.full_days - seen.age_days)


def _worth_a_baseline(history: History, config: Config) -> Rows:
    """Return the rows with an hour or day far below the mean of the same ones in up to 4 weeks before.

    Most agents are busy as usual: a look at their own past spares them the baseline.
    """
    counts = history.hours.requests
    first = max(0, history.hours.index(float(np.min(history.judge_from)) // DAY * DAY))
    totals = np.arange(len(history.totals), dtype=np.intp)
    worth = np.zeros(len(totals), dtype=np.bool_)
    for hour in range(first, counts.shape[1], 24):
        weeks = min(WEEKS_BEFORE, hour // 168)
        if weeks < LEAST_WEEKS:
            continue
        past = np.stack([counts[totals, hour - 168 * week : hour - 168 * week + 24] for week in range(1, weeks + 1)])
        guess, seen = past.mean(axis=0), counts[totals, hour : hour + 24]
        for usual, now in ((guess, seen), (guess.sum(axis=1, keepdims=True), seen.sum(axis=1, keepdims=True))):
            far = (usual >= config.min_expected / 2) & (now + 1 <= GUESS_RATIO * (usual + 1))
            far[far] = scipy.stats.poisson.cdf(now[far], GUESS_GROWTH * usual[far]) < GUESS_P
            worth |= far.any(axis=1)
    return totals[worth]


def _finding(history: History, spell: Spell, config: Config) -> Finding:
    entity, best = history.entities[spell.main], spell.best
    start, end, is_open = spell.bounds()
    window = wording.span(best.width)
    observed, expected = wording.number(best.observed), wording.number(best.expected)
    evidence = plain(
        {
            **deviation.figures(best),
            "event_count": max(one.total for one in spell.deviations),
            "history_days": round(best.history_days, 2),
            "parameters": asdict(config),
            "detector_version": VERSION,
            "why": _why(entity, best, window),
            "also": deviation.also(spell),
        }
    )
    return Finding(
        type=DETECTOR.type,
        kind=history.kind,
        entity=entity,
        start=start,
        end=end,
        open=is_open,
        metrics=deviation.metrics(history, spell),
        raised_at=spell.raised_at,
        score=scoring.score(scoring.surprise(best.p)),
        severity=_severity(best),
        description=f"{observed} request{'' if best.observed == 1 else 's'} in {window}, {expected} expected",
        evidence=evidence,
        deviation=PATTERN_CHANGE if spell.lasting else TRANSIENT,
    )


def _severity(best: Deviation) -> int:
    """Medium at most: who does nothing does no harm."""
    return min(MEDIUM, max(LOW, scoring.severity(scoring.surprise(best.p)) - 1))


def _why(entity: str, best: Deviation, window: str) -> str:
    observed, expected = wording.number(best.observed), wording.number(best.expected)
    when = f"At this hour on a {best.weekday}" if best.width < DAY else f"On a {best.weekday}"
    return (
        f"{when if best.width <= DAY else 'Usually'} {entity} makes {expected} requests in {window}, and more than "
        f"{wording.number(max(best.lower - 1, 0))} in 9,999 of 10,000 cases. It made {observed}; "
        f"the chance of so few is {wording.chance(best.p)}."
    )


DETECTOR = Detector(
    type="rate_drop",
    label="Rate drop",
    meaning="An agent did far less than its own history lets expect.",
    risk="Service Disruption",
    may_indicate=(
        "The agent, or what it depends on, is down.",
        "Its credentials expired or were revoked.",
        "Its events no longer arrive here.",
    ),
    recommended_actions=(
        "Look whether its source still delivers events.",
        "Check its grants and credentials.",
        "If it was switched off on purpose, acknowledge it.",
    ),
    version=VERSION,
    counts="requests",
    config=Config,
    detect=detect,
    chart=chart,
    learning=learning,
    screen=screen,
    outlook=lambda config: config.limits.outlook,
)

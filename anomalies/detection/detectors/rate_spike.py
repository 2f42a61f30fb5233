"""Rate spike: an agent, user or address did far more than its own history explains."""

from dataclasses import asdict, dataclass

from anomalies.detection import baseline, deviation, scoring, wording
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector, Learning, Seen
from anomalies.detection.deviation import Deviation, Limits, Spell
from anomalies.detection.finding import LOW, MEDIUM, PATTERN_CHANGE, TRANSIENT, Finding, plain
from anomalies.detection.history import DAY, History
from anomalies.detection.parameter import parameter
from anomalies.detection.prior import MOST_YOUNG_DAYS, PRIOR, YOUNG_DAYS, Prior
from anomalies.detection.screening import Glance, Mask

VERSION = 5


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
    min_excess: float = parameter(
        3.0,
        label="Above the expected, at least",
        unit="events",
        low=0,
        high=1e6,
        help="Least events above the expected count",
    )
    min_ratio: float = parameter(
        2.0,
        label="Multiple of the expected, at least",
        unit="times",
        low=1,
        high=1e3,
        help="Least multiple of the expected count",
    )
    young_days: float = parameter(
        YOUNG_DAYS,
        label="Judged by the prior for",
        unit="days",
        low=0,
        high=MOST_YOUNG_DAYS,
        help="Younger than this, an entity is judged by the prior and its own mean",
    )
    settled_days: float = parameter(
        7.0,
        label="Severity in full after",
        unit="days",
        low=0,
        high=60,
        help="Younger than this, severity is medium at most",
    )
    full_days: float = parameter(
        14.0,
        label="Judged in full after",
        unit="days",
        low=0,
        high=90,
        help="Younger than this, a tenth as many false alarms",
    )
    fit_days: float = parameter(
        baseline.FIT_DAYS,
        label="History of the baseline",
        unit="days",
        low=7,
        high=90,
        help="History that the baseline is fitted to",
    )
    prior_events_per_hour: float = parameter(
        PRIOR.events_per_hour,
        label="Expected an hour of a newcomer",
        unit="events",
        low=0.1,
        high=1e6,
        help="Expected of an entity never seen before",
    )
    prior_shape: float = parameter(
        PRIOR.shape,
        label="Certainty about a newcomer",
        unit="",
        low=0.01,
        high=100,
        help="Shape of the Gamma prior; smaller is less sure",
    )
    prior_dispersion: float = parameter(
        PRIOR.dispersion,
        label="Scatter of a newcomer",
        unit="",
        low=0,
        high=10,
        help="Over-dispersion assumed until the entity's own history says more",
    )
    prior_session: float = parameter(
        PRIOR.session,
        label="Further events that come with one",
        unit="events",
        low=0,
        high=100,
        help="Further events that come with one, of an entity that acts rarely",
    )

    @property
    def prior(self) -> Prior:
        return Prior(self.prior_events_per_hour, self.prior_shape, self.prior_dispersion, self.prior_session)

    @property
    def limits(self) -> Limits:
        return Limits(
            up=True,
            false_alarms_per_day=self.false_alarms_per_day,
            extend_alpha=self.extend_alpha,
            min_excess=self.min_excess,
            min_ratio=self.min_ratio,
            min_expected=0.0,
            full_days=self.full_days,
            prior=self.prior,
            young_days=self.young_days,
            fit_days=self.fit_days,
        )


def detect(history: History, config: Config) -> list[Finding]:
    """Return the spells in which entities were too busy, one finding for what all resolutions and actions saw.

    p is the negative-binomial tail of a bucket's count given the seasonal mean (`baseline`), at 1 and 5 minutes, 1
    hour, 1 day (after 28 days) and 1 week (after 8). A bucket is hot if p < alpha and the count exceeds the mean by
    `min_excess` and `min_ratio`; alpha follows from the budget of false alarms: budget / (1000 series x buckets a day x
    resolutions). A finding takes its figures from the resolution whose p, times the buckets a day, is smallest.
    Buckets still under way are judged by what they hold so far: a count only grows.

    Source: Noufaily et al. (2013), Statistics in Medicine 32(7); what is joined to one finding: `deviation`.
    """
    return [_finding(history, spell, config) for spell in deviation.spells(history, config.limits)]


def screen(glance: Glance, config: Config) -> Mask:
    """Return the rows with a bucket that may be hot."""
    return deviation.screen(glance, config.limits)


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


def _finding(history: History, spell: Spell, config: Config) -> Finding:
    kind, entity, action = history.kind, history.entities[spell.main], history.actions[spell.main]
    best = spell.best
    start, end, is_open = spell.bounds()
    s = scoring.surprise(best.p)
    window = wording.span(best.width)
    observed, expected = wording.number(best.observed), wording.number(best.expected)
    evidence = plain(
        {
            **deviation.figures(best),
            "event_count": max(one.total for one in spell.of(spell.main)),
            "history_days": round(best.history_days, 2),
            "parameters": asdict(config),
            "detector_version": VERSION,
            "why": _why(history, entity, action, best, window, config),
            "also": deviation.also(spell),
        }
    )
    return Finding(
        type=DETECTOR.type,
        kind=kind,
        entity=entity,
        start=start,
        end=end,
        open=is_open,
        metrics=deviation.metrics(history, spell),
        raised_at=spell.raised_at,
        score=scoring.score(s),
        severity=_severity(best, config),
        told_by=() if kind == "agent" else ("agent",),
        explained_by={"agent": ("itself", "address", "principal"), "address": ("itself", "agent")}.get(
            kind, ("itself", "agent", "address")
        ),
        description=f"{observed} requests{f' of {action}' if action else ''}{wording.of(kind, entity)} in {window}, "
        f"{expected} expected",
        evidence=evidence,
        deviation=PATTERN_CHANGE if spell.lasting else TRANSIENT,
    )


def _severity(best: Deviation, config: Config) -> int:
    """A level lower where the effect is small or the history short, medium at most where it is shorter yet."""
    severity = scoring.severity(scoring.surprise(best.p))
    ratio, excess = (best.observed + 1) / (best.expected + 1), best.observed - best.expected
    if ratio < 2 or excess < 5 or best.history_days < config.full_days:
        severity = max(LOW, severity - 1)
    return min(MEDIUM, severity) if best.history_days < config.settled_days else severity


def _why(history: History, entity: str, action: str, best: Deviation, window: str, config: Config) -> str:
    observed, expected = wording.number(best.observed), wording.number(best.expected)
    times = wording.number(best.observed / best.expected) if best.expected > 0.05 else None
    requests = f"requests of {action}" if action else "requests"
    if best.history_days < config.young_days:
        subject = f"{action} of {entity}" if action else entity
        known = (
            f"{subject} is known for {wording.span(best.history_days * DAY)} only"
            if best.history_days * DAY >= 60
            else f"{subject} was never seen before"
        )
        group = f" of the group {history.peers[entity].group}" if entity in history.peers else ""
        others = f"newcomers{group} are: they make"
        if action:
            others = "new actions are: at most all that the agent does is"
        first = f"{known}, so it is judged as {others} {expected} {requests if not action else 'requests'} in {window}"
    else:
        when = f"At this hour on a {best.weekday}" if best.width < DAY else f"On a {best.weekday}"
        when = "Usually" if best.width > DAY else when
        first = f"{when} {entity} makes {expected} {requests} in {window}"
    return (
        f"{first}, and fewer than {wording.number(best.upper + 1)} in 9,999 of 10,000 cases. It made {observed}"
        f"{f', {times} times as many' if times else ''}; the chance of that is {wording.chance(best.p)}."
    )


DETECTOR = Detector(
    type="rate_spike",
    label="Rate spike",
    meaning="An agent, user or address did far more than its own history explains.",
    risk="Abnormal Activity",
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
    counts="requests",
    answered=True,
    config=Config,
    detect=detect,
    chart=chart,
    learning=learning,
    screen=screen,
    outlook=lambda config: config.limits.outlook,
)

"""The series that deviate in an anomaly, in words, each with its intervals: what the table in its details shows."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.timezone import make_naive

from anomalies.detection.wording import chance, number, span
from anomalies.models import Anomaly, Interval, Metric, Series
from anomalies.services import metrics

NO_BREAK = "\N{NO-BREAK SPACE}"
MOST_METRICS = 8
MOST_INTERVALS = 4
WHAT = {
    "requests": "requests",
    "failures": "failures",
    "new_principals": "new users",
    "off_hours_slots": "periods of 5 minutes off hours",
    "suspicious_logins": "suspicious logins",
    "access_requests": "access requests",
    "rule_events": "events of the rule",
}
WHOLE = ("off_hours_slots",)
OF: dict[str, str] = {Series.Kind.PRINCIPAL: "for", Series.Kind.ADDRESS: "from"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """An interval of a series as its row of the table says it."""

    interval: Interval
    whole: bool  # it was counted as a whole, not by buckets

    @property
    def resolution(self) -> str:
        """`5 min`, `1 hour`."""
        seconds = float(self.interval.resolution_seconds)
        if self.whole:
            seconds = (self.interval.ended_at - self.interval.started_at).total_seconds()
        return span(seconds).replace("minutes", "min").replace("minute", "min")

    @property
    def observed(self) -> str:
        return number(self.interval.peak)

    @property
    def expected(self) -> str:
        """`38 (21 to 61)`: it stands in a narrow column, and breaks before the bracket only."""
        expected, lower, upper = (
            number(value).replace("under ", f"<{NO_BREAK}")
            for value in (self.interval.expected, self.interval.lower, self.interval.upper)
        )
        return f"{expected} ({lower}{NO_BREAK}to{NO_BREAK}{upper})"

    @property
    def direction(self) -> str:
        return "above" if self.interval.up else "below"

    @property
    def going_on(self) -> bool:
        return self.interval.state == Anomaly.State.OPEN

    @property
    def is_within_a_day(self) -> bool:
        """Whether its end needs no date: the reviewer's clock, which may have changed within it, had not gone round."""
        start, end = make_naive(self.interval.started_at), make_naive(self.interval.ended_at)
        return end - start < timedelta(days=1)

    @property
    def lasting(self) -> bool:
        return self.interval.deviation == Anomaly.Deviation.PATTERN_CHANGE


@dataclass(frozen=True, slots=True)
class Deviating:
    """One series; `stretches` are its first intervals, `rest` is how many more it has."""

    metric: Metric
    main: bool  # the sentence of the anomaly tells it
    intervals: tuple[Interval, ...]

    @property
    def words(self) -> str:
        """`requests of ag_1, token.issue only`, `failures for user_7`."""
        one = self.metric
        only = f", {one.action} only" if one.action else ""
        return f"{WHAT.get(one.what, one.what.replace('_', ' '))} {OF.get(one.kind, 'of')} {one.entity}{only}"

    @property
    def chance(self) -> str:
        """How probable its most surprising bucket was; nothing where a rule decided, not chance."""
        p = self.metric.evidence.get("p", 1.0)
        return chance(p) if p < 1 else ""

    @property
    def stretches(self) -> list[Stretch]:
        return [Stretch(one, self.metric.what in WHOLE) for one in self.intervals[:MOST_INTERVALS]]

    @property
    def rest(self) -> int:
        return max(0, len(self.intervals) - MOST_INTERVALS)

    def marked(self, resolution_seconds: int) -> tuple[datetime, datetime]:
        """From when to when it deviated, as exactly as that resolution tells."""
        seen = [one for one in self.intervals if one.resolution_seconds == resolution_seconds] or self.intervals
        if not seen:
            evidence = self.metric.evidence
            return datetime.fromtimestamp(evidence["start"], UTC), datetime.fromtimestamp(evidence["end"], UTC)
        return min(one.started_at for one in seen), max(one.ended_at for one in seen)


def deviating(anomaly: Anomaly) -> list[Deviating]:
    """Return the series of an anomaly: the one that its sentence tells, then the most surprising first."""
    return [Deviating(one, at == 0, tuple(one.intervals.all())) for at, one in enumerate(metrics.of(anomaly))]

"""A deviation in memory: what a detector hands out."""

from dataclasses import dataclass
from typing import Any

LOW, MEDIUM, HIGH = 1, 2, 3
FIGURES = ("observed", "expected", "lower", "upper", "p", "unit", "resolution_seconds", "start", "end")
TRANSIENT, PATTERN_CHANGE = "transient", "pattern_change"


def series_name(what: str, kind: str, entity: str, action: str = "") -> str:
    """Return the name of a series, such as `what=requests.agent=ag_1.action=token.issue`."""
    return f"what={what}.{kind}={entity}" + (f".action={action}" if action else "")


@dataclass(frozen=True, slots=True)
class Interval:
    """A run of anomalous buckets; times in seconds since the epoch, `end` exclusive."""

    resolution_seconds: int
    start: float
    end: float
    open: bool
    peak: float
    expected: float
    upper: float
    score: float
    lower: float = 0.0
    sum_deltas: float = 0.0  # of the distances of its buckets from the band
    up: bool = True  # above the band, not below it
    deviation: str = TRANSIENT


@dataclass(frozen=True, slots=True)
class Metric:
    """One series that deviates, in its intervals at each resolution.

    `evidence` has `observed`, `expected`, `lower`, `upper`, `p`, `unit`, `resolution_seconds`, `start` and `end` of its
    most surprising bucket.
    """

    what: str  # is counted: requests, failures, ...
    kind: str
    entity: str
    intervals: tuple[Interval, ...]
    score: float
    evidence: dict[str, Any]
    action: str = ""  # of an agent; "" for all of them

    @property
    def name(self) -> str:
        return series_name(self.what, self.kind, self.entity, self.action)


@dataclass(frozen=True, slots=True)
class Finding:
    """What deviates, since when, by how much, and why that is said.

    `kind` and `entity` name the series as the models do; `start`, `end` (exclusive) and `raised_at` are in seconds
    since the epoch. `raised_at` is when the events so far first sufficed: a scan that ran then would have raised it.
    `evidence` is plain JSON; every detector gives `observed`, `expected`, `lower`, `upper`, `p`, `unit`,
    `resolution_seconds`, `start`, `end` (of the bucket or window it speaks of), `event_count`, `history_days`,
    `parameters`, `detector_version` and `why` (two or three sentences).
    """

    type: str
    kind: str
    entity: str
    start: float
    end: float
    open: bool
    metrics: tuple[Metric, ...]  # the most surprising first
    raised_at: float
    score: float
    severity: int
    description: str
    evidence: dict[str, Any]
    principal_id: str | None = None  # where it is not the entity itself
    told_by: tuple[str, ...] = ()  # kinds: if one of that kind did all of it, the two are one anomaly
    explained_by: tuple[str, ...] = ()  # the same, of types that explain any deviation; "itself": the same entity
    deviation: str = ""  # transient or pattern_change, of a series that is counted
    topic: str = ""  # tells findings of one type, entity and time apart, such as the id of a rule
    # What it is about, where it says more than what all its events share.
    integration: str = ""
    resource: str = ""
    resource_type: str = ""

    @property
    def resolution_seconds(self) -> int:
        """At which it deviates most."""
        return int(self.evidence["resolution_seconds"])


def metric(
    what: str,
    kind: str,
    entity: str,
    intervals: tuple[Interval, ...],
    *,
    score: float,
    evidence: dict[str, Any],
    action: str = "",
) -> Metric:
    """Return a metric with those of its figures that every metric has, out of an evidence that may say more."""
    figures = {name: evidence[name] for name in FIGURES}
    return Metric(what, kind, entity, intervals, score, figures, action)


def plain(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return evidence with figures of six digits, and times to the millisecond.

    The last bits of a sum depend on what else was in the array: without them the same events give the same evidence.
    """
    return {key: _plain(value) for key, value in evidence.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < 1e6 else round(value, 3)
    if isinstance(value, dict):
        return plain(value)
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value

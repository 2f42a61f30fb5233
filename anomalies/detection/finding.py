"""A deviation in memory: what a detector hands out."""

from dataclasses import dataclass
from typing import Any

LOW, MEDIUM, HIGH = 1, 2, 3


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
    intervals: tuple[Interval, ...]
    raised_at: float
    score: float
    severity: int
    description: str
    evidence: dict[str, Any]
    principal_id: str | None = None  # where it is not the entity itself
    told_by: tuple[str, ...] = ()  # kinds: if one of that kind did all of it, its own anomaly tells it


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

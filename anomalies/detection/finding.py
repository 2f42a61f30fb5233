"""A deviation in memory: what a detector hands out."""

from dataclasses import dataclass
from typing import Any

LOW, MEDIUM, HIGH = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Interval:
    """A run of anomalous buckets; times in seconds since the epoch, `end` exclusive."""

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

    `kind` and `entity` name the series as the models do. `raised_at` is when the events so far first sufficed, in
    seconds since the epoch: a scan that had run then would have raised it.
    `evidence` is plain JSON; every detector gives `observed`, `expected`, `lower`, `upper`, `p`, `unit`,
    `resolution_seconds`, `start`, `end` (of the bucket or window it speaks of), `event_count`, `history_days`,
    `parameters`, `detector_version` and `why` (two or three sentences).
    """

    type: str
    kind: str
    entity: str
    interval: Interval
    resolution_seconds: int
    raised_at: float
    score: float
    severity: int
    description: str
    evidence: dict[str, Any]
    agent_id: str | None = None
    principal_id: str | None = None
    ip: str | None = None

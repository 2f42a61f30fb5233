"""What this contract tells of an anomaly: a group of metrics that deviate for one cause."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q

from anomalies.api.anodot_v2.metric import EXAMPLE as METRIC_EXAMPLE
from anomalies.api.anodot_v2.metric import Deviating, MetricAnswer, metrics_of, told
from anomalies.api.anodot_v2.wording import epoch, resolution_of
from anomalies.api.errors import CamelSchema, exemplified
from anomalies.models import Anomaly

EXAMPLE: dict[str, Any] = {
    "id": "anom_01J9ZC3V9X8E6M2K4T5R7W1Y0B",
    "mergedIds": ["anom_01J9ZC2ZC3V9X8E6M2K4T5R7W1"],
    "state": "closed",
    "name": "Nightly export",
    "resolution": "medium",
    "startDate": 1614508800,
    "endDate": 1614513600,
    "score": 0.41,
    "detailedScore": 0.41,
    "duration": 4800,
    "metricsCount": {"total": 1, "anomalyTotal": 3},
    "metrics": [METRIC_EXAMPLE],
}

# As Group has them.
_ANOMALIES = """
SELECT a.id, public_id, state, title, description, resolution_seconds, a.started_at, ended_at, score, principal_id,
       s.now, ARRAY(
           SELECT part.public_id FROM anomalies_anomaly part WHERE part.merged_into_id = a.id
           ORDER BY part.started_at, part.id
       )
FROM anomalies_anomaly a JOIN anomalies_scan s ON s.id = coalesce(a.last_scan_id, a.scan_id)
WHERE a.id = ANY(%s)
"""


class MetricsCount(CamelSchema):
    """`total` pass what is asked of metrics, of `anomalyTotal` that there are."""

    total: int
    anomaly_total: int


class GroupAnswer(CamelSchema):
    """One anomaly. `name` is what a reviewer calls it, or the sentence that describes it.

    `metrics` are those that pass. An anomaly of which no metric is known is told without any, and passes nothing that
    is asked of metrics.
    """

    id: str
    merged_ids: list[str]
    state: str
    name: str
    resolution: str
    start_date: int
    end_date: int | None
    score: float
    detailed_score: float
    duration: int
    metrics_count: MetricsCount
    metrics: list[MetricAnswer]

    model_config = exemplified(EXAMPLE)


@dataclass(frozen=True, slots=True)
class Group:
    """An anomaly as it is read, with all its metrics."""

    pk: int
    public_id: str
    state: str
    title: str
    description: str
    resolution_seconds: int
    started_at: datetime
    ended_at: datetime | None
    score: float
    principal_id: str | None
    seen_at: datetime
    merged_ids: list[str]
    metrics: list[Deviating]

    @property
    def resolution(self) -> str:
        return resolution_of(self.resolution_seconds)

    @property
    def passing(self) -> list[Deviating]:
        return [one for one in self.metrics if one.passes]

    def metric(self, one: Deviating) -> dict[str, Any]:
        return told(one, user=self.principal_id, seen_at=self.seen_at)

    def told(self, metrics: list[dict[str, Any]], *, at: datetime) -> dict[str, Any]:
        """Return it as this contract tells it, with these metrics."""
        ended_at = None if self.state == Anomaly.State.OPEN else self.ended_at
        return {
            "id": self.public_id,
            "mergedIds": self.merged_ids,
            "state": Anomaly.State.CLOSED if ended_at else Anomaly.State.OPEN,
            "name": self.title or self.description,
            "resolution": self.resolution,
            "startDate": epoch(self.started_at),
            "endDate": epoch(ended_at) if ended_at else None,
            "score": self.score,
            "detailedScore": self.score,
            "duration": max(0, int(((ended_at or at) - self.started_at).total_seconds())),
            "metricsCount": {"total": len(self.passing), "anomalyTotal": len(self.metrics)},
            "metrics": metrics,
        }


def groups(numbers: Sequence[int], wanted: Q) -> Iterator[Group]:
    """Yield the anomalies of these numbers in this order. Four statements at most, however many they are."""
    with connection.cursor() as cursor:
        cursor.execute(_ANOMALIES, [[*numbers]])
        rows = {row[0]: row for row in cursor}
    metrics = metrics_of(numbers, wanted)
    for number in numbers:
        if number in rows:  # or else it was deleted meanwhile
            yield Group(*(*rows[number], metrics.get(number, [])))

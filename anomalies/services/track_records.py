"""What became of what each detector found: how much lately, and what reviewers made of it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q

from anomalies.models import Agent, Anomaly, DetectorOverride
from anomalies.services.detectors import Learns, learning_of_each

DAY, MONTH = timedelta(days=1), timedelta(days=30)
JUDGED_DAYS = 90  # of which verdicts count
MOST_AGENTS = 500  # whose learning is looked at, those seen last


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Of one type. Benign ones say nothing of a detector's precision: it was right, and it was expected."""

    day: int = 0  # anomalies detected in the last 24 hours
    month: int = 0  # in the last 30 days
    true: int = 0
    false: int = 0
    benign: int = 0
    overrides: int = 0

    @property
    def precision(self) -> float | None:
        """True positives among those found true or false; None where none was."""
        return self.true / (self.true + self.false) if self.true + self.false else None

    @property
    def judged(self) -> int:
        return self.true + self.false


@dataclass(frozen=True, slots=True)
class Learners:
    """Which of `agents` are not judged in full yet, by type; `all_agents` is how many there are."""

    by_type: Mapping[str, list[tuple[Agent, Learns]]]
    agents: int
    all_agents: int


def track_records(*, now: datetime) -> dict[str, TrackRecord]:
    """Return them by type; a type without any has none."""
    lately = (
        Anomaly.objects.standing()
        .filter(detected_at__gte=now - MONTH)
        .order_by()
        .values("type")
        .annotate(month=Count("pk"), day=Count("pk", filter=Q(detected_at__gte=now - DAY)))
    )
    found: dict[str, dict[str, Any]] = {row["type"]: dict(row) for row in lately}
    judged = Anomaly.objects.standing().filter(
        detected_at__gte=now - timedelta(days=JUDGED_DAYS), status=Anomaly.Status.RESOLVED
    )
    verdicts: dict[str, Counter[str]] = defaultdict(Counter)
    for type_, verdict, count in judged.order_by().values_list("type", "verdict").annotate(n=Count("pk")):
        verdicts[type_][verdict] = count
    overrides = dict(DetectorOverride.objects.order_by().values_list("type").annotate(n=Count("pk")))
    return {
        type_: TrackRecord(
            day=found.get(type_, {}).get("day", 0),
            month=found.get(type_, {}).get("month", 0),
            true=verdicts[type_][Anomaly.Verdict.TRUE_POSITIVE],
            false=verdicts[type_][Anomaly.Verdict.FALSE_POSITIVE],
            benign=verdicts[type_][Anomaly.Verdict.BENIGN],
            overrides=overrides.get(type_, 0),
        )
        for type_ in {*found, *verdicts, *overrides}
    }


def learners(*, now: datetime) -> Learners:
    """Return who is still learned, among the 500 agents that were seen last."""
    living = Agent.objects.filter(deleted_at__isnull=True, last_seen__isnull=False)
    agents = list(living.order_by("-last_seen", "-id")[:MOST_AGENTS])
    by_type: dict[str, list[tuple[Agent, Learns]]] = defaultdict(list)
    by_id = {agent.public_id: agent for agent in agents}
    for public_id, states in learning_of_each(agents, at=now).items():
        for state in states:
            by_type[state.detector.type].append((by_id[public_id], state))
    return Learners(by_type, len(agents), living.count() if len(agents) == MOST_AGENTS else len(agents))

"""What a reviewer's own rule would have raised lately, before it is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from anomalies.detection.finding import Finding
from anomalies.detection.history import DAY, HOUR, Calendar, Counts, History
from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Agent, Series
from anomalies.services import rules

NEWEST = 20  # findings that a preview names


@dataclass(frozen=True, slots=True)
class RulePreview:
    """Findings of the days before, and how many agents they are of."""

    days: int
    total: int
    agents: int
    newest: list[Finding]  # at most 20


def preview(wanted: Mapping[str, Any], *, at: datetime, days: int = 30) -> RulePreview:
    """Return what a rule would have raised, had it been in force. Raises RuleError for fields that cannot be."""
    since = at - timedelta(days=days)
    agents = list(wanted.get("agents") or ())
    if not agents:
        seen = Agent.objects.filter(last_seen__gte=since)
        agents = list(seen.order_by("id").values_list("public_id", flat=True))
    rule = rules.as_if(wanted, dict.fromkeys(agents, since), until=at)
    if rule is None:
        return RulePreview(days, 0, 0, [])
    history = _history(tuple(sorted(rule.matches)), since, at, (rule,))
    found: list[Finding] = []
    for type_ in counting("rule_events"):
        found += DETECTORS[type_].detect(history, DETECTORS[type_].config())
    found.sort(key=lambda one: (-one.start, one.entity))
    return RulePreview(days, len(found), len({one.entity for one in found}), found[:NEWEST])


def _history(agents: tuple[str, ...], since: datetime, until: datetime, of_rules: tuple[Any, ...]) -> History:
    """The history of agents of whom nothing but the events of rules matters."""
    n = len(agents)
    nothing = np.zeros((n, 1), dtype=np.int32)
    midnight = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    no, unset = np.zeros((n, 1), dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    hours = Counts(midnight, HOUR, nothing, nothing)
    return History(
        kind=Series.Kind.AGENT,
        entities=agents,
        actions=("",) * n,
        until=until.timestamp(),
        judge_from=np.full(n, since.timestamp()),
        first_time=np.full(n, since.timestamp() - DAY),
        hours=hours,
        fives=Counts(midnight, 300, nothing, nothing),
        minutes=Counts(midnight, 60, nothing, nothing),
        calendar=Calendar(("UTC",) * n, np.zeros((n, 1), dtype=np.int16), no, unset, no),
        tenant=hours,
        meetings=(),
        attempts={},
        rules=of_rules,
    )

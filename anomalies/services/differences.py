"""What two sets of findings differ in, and what reviewers made of those that are anomalies."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import scipy

from anomalies.detection.finding import Finding, plain
from anomalies.models import Anomaly, Severity
from anomalies.models.anomaly import SUPPRESSED

NEWEST = 50  # that are shown in full, of each group
FALSE = (Anomaly.Verdict.BENIGN, Anomaly.Verdict.FALSE_POSITIVE)  # that nobody needed to see


@dataclass(frozen=True, slots=True)
class Raised:
    """What a finding would be as an anomaly."""

    kind: str
    entity: str
    topic: str
    start: float
    end: float
    severity: int
    shown: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.entity, self.topic

    def as_severe_as(self, severity: int) -> "Raised":
        return replace(self, severity=severity, shown={**self.shown, "severity": _name(severity)})


def as_raised(finding: Finding) -> Raised:
    evidence = finding.evidence
    shown = {
        "kind": finding.kind,
        "entity": finding.entity,
        "started_at": _iso(finding.start),
        "ended_at": _iso(finding.end),
        "severity": _name(finding.severity),
        "score": finding.score,
        "description": finding.description,
        "why": evidence["why"],
        "observed": evidence["observed"],
        "expected": evidence["expected"],
        "unit": evidence["unit"],
    }
    return Raised(
        finding.kind, finding.entity, finding.topic, finding.start, finding.end, finding.severity, plain(shown)
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _name(severity: int) -> str:
    return str(Severity(severity).label)


def paired(
    old: Sequence[Raised], new: Sequence[Raised]
) -> tuple[list[Raised], list[Raised], list[tuple[Raised, Raised]]]:
    """Return those of the first alone, of the second alone, and of both: those that would be the same anomaly."""
    by_key: dict[tuple[str, str, str], list[Raised]] = defaultdict(list)
    for one in sorted(old, key=lambda one: one.start):
        by_key[one.key].append(one)
    gained, both = [], []
    for one in sorted(new, key=lambda one: one.start):
        match = next((other for other in by_key[one.key] if other.start <= one.end and other.end >= one.start), None)
        if match is None:
            gained.append(one)
        else:
            by_key[one.key].remove(match)
            both.append((match, one))
    return [one for rest in by_key.values() for one in rest], gained, both


class Decided:
    """The anomalies of some days, and what reviewers made of them."""

    def __init__(self, type_: str, *, since: datetime, until: datetime) -> None:
        self._known: dict[tuple[str, str, str], list[Anomaly]] = defaultdict(list)
        anomalies = Anomaly.objects.filter(type=type_, started_at__lt=until, active_until__gte=since)
        shown = ("public_id", "status", "verdict", "suppression")
        fields = ["kind", "entity", "topic", "started_at", "active_until", *shown]
        fields += [f"merged_into__{name}" for name in shown]
        known = anomalies.exclude(state=Anomaly.State.WITHDRAWN).select_related("merged_into").only(*fields)
        for anomaly in known.order_by("started_at", "id"):
            self._known[anomaly.kind, anomaly.entity, anomaly.topic].append(anomaly)

    def of(self, raised: Raised) -> Anomaly | None:
        """The anomaly that it is by now, or is a part of, if it was raised."""
        for anomaly in self._known[raised.key]:
            if raised.start <= anomaly.active_until.timestamp() and raised.end >= anomaly.started_at.timestamp():
                return anomaly.merged_into or anomaly
        return None


def group(raised: Sequence[Raised], decided: Decided) -> dict[str, Any]:
    severities = Counter(one.severity for one in raised)
    newest = sorted(raised, key=lambda one: (-one.start, one.key))[:NEWEST]
    return {
        "count": len(raised),
        "by_severity": {_name(severity): severities[severity] for severity in sorted(Severity.values, reverse=True)},
        "decisions": _decisions(raised, decided),
        "newest": [{**one.shown, **_decision(decided.of(one))} for one in newest],
    }


def _decision(anomaly: Anomaly | None) -> dict[str, str]:
    return {"anomaly": anomaly.public_id, "decision": _word(anomaly)} if anomaly else {}


def _word(anomaly: Anomaly) -> str:
    """What was decided about it, in a few words."""
    if anomaly.verdict:
        return str(anomaly.get_verdict_display())
    if anomaly.status != Anomaly.Status.OPEN:
        return f"{anomaly.status}, no verdict"
    return SUPPRESSED if anomaly.suppression_id is not None else anomaly.status


def _decisions(raised: Sequence[Raised], decided: Decided) -> dict[str, int]:
    """How those that are anomalies were decided, by verdict where there is one."""
    anomalies = [anomaly for one in raised if (anomaly := decided.of(one))]
    return dict(Counter(_word(anomaly) for anomaly in anomalies).most_common())


def reviewed(raised: Sequence[Raised], decided: Decided, days: float) -> dict[str, Any]:
    """Return how many have which verdict, or none, and the share of true positives with its 95 % Wilson interval.

    That is of those found true, false or expected. Who acknowledges says that it was seen, not whether it was right;
    duplicates and tests say nothing of a detector.
    """
    anomalies = [decided.of(one) for one in raised]
    verdicts = Counter(anomaly.verdict for anomaly in anomalies if anomaly)
    statuses = Counter(anomaly.status for anomaly in anomalies if anomaly and not anomaly.verdict)
    true, false = verdicts[Anomaly.Verdict.TRUE_POSITIVE], sum(verdicts[verdict] for verdict in FALSE)
    interval = scipy.stats.binomtest(true, true + false).proportion_ci(method="wilson") if true + false else None
    return {
        "raised": len(raised),
        "raised_a_day": round(len(raised) / days, 3),
        "are_anomalies": sum(anomaly is not None for anomaly in anomalies),
        "verdicts": {verdict.value: verdicts[verdict] for verdict in Anomaly.Verdict},
        "without_verdict": statuses.total() - statuses[Anomaly.Status.OPEN],
        "undecided": statuses[Anomaly.Status.OPEN],
        "true": true,
        "false": false,
        "false_a_day": round(false / days, 3),
        "precision": round(true / (true + false), 4) if interval else None,
        "precision_low": round(float(interval.low), 4) if interval else None,
        "precision_high": round(float(interval.high), 4) if interval else None,
    }

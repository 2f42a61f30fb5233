"""How severe an anomaly is: as its own finding, a level more where detectors agree, and no less than any part of it."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from anomalies.models import Anomaly, Metric, Scan, Severity
from anomalies.services import agreement, metrics

DERIVED = ("agreement", "part")  # in the evidence: what others than its own finding say


@dataclass(frozen=True, slots=True)
class Part:
    """The most severe series of what has turned out to be one with an anomaly."""

    severity: int
    what: str  # such as: failures of address 192.0.2.1

    @classmethod
    def of(cls, metric: Metric) -> Self:
        action = f" ({metric.action})" if metric.action else ""
        return cls(metric.severity, f"{metric.what.replace('_', ' ')} of {metric.kind} {metric.entity}{action}")


def keep(before: Anomaly, anomaly: Anomaly) -> None:
    """Leave an anomaly that was judged anew as much more severe as others had made it, until all are judged."""
    agreed, part = (before.evidence.get(name) for name in DERIVED)
    _derive(anomaly, agreed["with"] if agreed else [], Part(part["severity"], part["what"]) if part else None)


def due(scan: Scan) -> Iterator[tuple[Anomaly, Anomaly]]:
    """Yield anomalies that the scan changed, or that are near such, locked: as they are, and as severe as they should.

    A function of the anomalies that stand and of their parts: in whatever order they were raised, and however often
    it is asked.
    """
    agreeing = agreement.agreeing(scan)
    changed = (
        Anomaly.objects.standing().filter(last_scan__gt=scan.finished_before).exclude(state=Anomaly.State.WITHDRAWN)
    )
    parts = metrics.severest_parts({*changed.values_list("id", flat=True), *agreeing})
    derived = changed.filter(evidence__has_any_keys=DERIVED).values_list("id", flat=True)
    known = Anomaly.objects.filter(pk__in={*agreeing, *parts, *derived})
    for before in known.select_for_update(of=("self",)).order_by("id"):
        anomaly = copy.copy(before)
        agreed, part = before.evidence.get("agreement"), before.evidence.get("part")
        anomaly.evidence = {name: figure for name, figure in before.evidence.items() if name not in DERIVED}
        if innermost := agreed or part:
            anomaly.severity = innermost["own_severity"]
        metric = parts.get(anomaly.pk)
        _derive(anomaly, agreeing.get(anomaly.pk, []), Part.of(metric) if metric else None)
        yield before, anomaly


def why(anomaly: Anomaly, before: Anomaly) -> str:
    """Say what others make it as severe as it is, or no longer do: `new_principal agrees`."""
    reasons = []
    (agreed, agreed_before), (part, part_before) = (
        (anomaly.evidence.get(name), before.evidence.get(name)) for name in DERIVED
    )
    if agreed != agreed_before:
        reasons.append(agreement.why(agreed["with"]) if agreed else f"{agreement.why(agreed_before['with'])} no longer")
    if part != part_before:
        reasons.append(_why(part) if part else "no part of it is as severe any more")
    return "; ".join(reasons)


def _derive(anomaly: Anomaly, agreeing: list[str], part: Part | None) -> None:
    """Raise an anomaly of its own severity as far as others do."""
    if agreeing:
        severity = min(anomaly.severity + 1, Severity.HIGH)
        _raise(anomaly, "agreement", severity, agreement.why(agreeing), {"with": agreeing})
    if part and part.severity > anomaly.severity:
        _raise(anomaly, "part", part.severity, _why(asdict(part)), asdict(part))


def _raise(anomaly: Anomaly, name: str, severity: int, why: str, more: Mapping[str, Any]) -> None:
    own, anomaly.severity = anomaly.severity, severity
    rise = f"raised from {Severity(own).label} to {Severity(severity).label}: " if own < severity else ""
    anomaly.evidence = {**anomaly.evidence, name: {**more, "own_severity": own, "why": f"{rise}{why}"}}


def _why(part: Mapping[str, Any]) -> str:
    return f"{part['what']} are of {Severity(part['severity']).label} severity"

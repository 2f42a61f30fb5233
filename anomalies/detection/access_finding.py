"""A finding about access requests: what the detectors of these types have in common."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from anomalies.detection.finding import Finding, Interval, metric, plain
from anomalies.detection.history import HOUR, History
from anomalies.detection.request import AccessRequest, Unit

MOST_NAMED = 100  # requests and units in the evidence, beside their number


@dataclass(frozen=True, slots=True)
class Observation:
    """What was observed and what was to be expected; p is 1 for what a rule says, not chance."""

    observed: float
    expected: float
    upper: float
    p: float
    unit: str


def access_finding(
    type_: str,
    history: History,
    requester: str,
    requests: Sequence[AccessRequest],
    *,
    units: Sequence[Unit],
    start: float,
    end: float,
    raised_at: float,
    observation: Observation,
    history_days: float,
    severity: int,
    score: float,
    description: str,
    why: str,
    config: Any,
    version: int,
    topic: str = "",
    **more: Any,
) -> Finding:
    """Return the finding about these requests of one requester; the first of them is the one that pages link to.

    `units` are those that it is about: what they share is the anomaly's integration, resource and resource type.
    """
    is_open = history.until < end + HOUR
    first = requests[0]
    evidence = plain(
        {
            "observed": observation.observed,
            "expected": observation.expected,
            "lower": 0,
            "upper": observation.upper,
            "p": observation.p,
            "unit": observation.unit,
            "resolution_seconds": HOUR,
            "start": start,
            "end": end,
            "event_count": len(requests),
            "request_id": first.id,
            "request_name": first.name,
            "request_ids": [request.id for request in requests[:MOST_NAMED]],
            "access_flow": first.flow,
            "units": [asdict(unit) for unit in units[:MOST_NAMED]],
            "history_days": round(history_days, 2),
            "parameters": asdict(config),
            "detector_version": version,
            "why": why,
            **more,
        }
    )
    interval = Interval(
        resolution_seconds=HOUR,
        start=start,
        end=end,
        open=is_open,
        peak=observation.observed,
        expected=observation.expected,
        upper=observation.upper,
        score=score,
    )
    return Finding(
        type=type_,
        kind=history.kind,
        entity=requester,
        start=start,
        end=end,
        open=is_open,
        metrics=(metric("access_requests", history.kind, requester, (interval,), score=score, evidence=evidence),),
        raised_at=raised_at,
        score=score,
        severity=severity,
        description=description,
        principal_id=requester,
        topic=topic,
        integration=_one([unit.integration for unit in units]),
        resource=_one([unit.resource for unit in units]),
        resource_type=_one([unit.resource_type for unit in units]),
        evidence=evidence,
    )


def _one(names: Sequence[str]) -> str:
    """Return what all of them are called, if they are called one thing."""
    return names[0] if len(set(names)) == 1 else ""

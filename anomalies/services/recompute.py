"""Deriving the figures of an anomaly again from what is stored, and saying what differs and why."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Max, Min

from anomalies.detection import wording
from anomalies.detection.finding import Finding
from anomalies.detection.parameter import ParameterError, build_config
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, BucketBlock, Scan, Series
from anomalies.services import evidence, histories, rules, severities
from anomalies.services.counts import BLOCK_SECONDS


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of the evidence that comes out otherwise; None where it has no such figure."""

    figure: str
    stored: Any
    derived: Any


@dataclass(frozen=True, slots=True)
class Recomputation:
    """What comes out today. `reasons` say in sentences why anything differs; none do if nothing does."""

    differences: list[Difference] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.differences and not self.reasons


def recompute(anomaly: Anomaly) -> Recomputation:
    """Judge an anomaly's entity again as the scan did that changed it last, by the parameters of the evidence.

    Nothing is written.
    """
    detector = DETECTORS.get(anomaly.type)
    if detector is None:
        return Recomputation(reasons=[f"There is no detector of the type {anomaly.type} any more."])
    reasons = []
    version = anomaly.evidence.get("detector_version")
    if version != detector.version:
        reasons.append(f"It was judged by version {version} of the detector, which is at version {detector.version}.")
    try:
        config = build_config(detector.config, detector.known(anomaly.evidence["parameters"]))
    except ParameterError as error:
        return Recomputation(reasons=[*reasons, f"Its parameters cannot be set any more: {error}"])
    changes = rules.changes_since(anomaly) if detector.counts == "rule_events" else []
    finding = _finding(anomaly, detector.detect, config, by_its_rule=bool(changes))
    differences = _differences(anomaly, finding)
    if changes:
        reasons.append(f"Its rule was changed since: {'; '.join(changes)}. What follows is by the rule as it was.")
    why = _reasons(anomaly, finding, differences)
    reasons += why or (["The same figures come out."] if changes else [])
    return Recomputation(differences, reasons)


def _finding(anomaly: Anomaly, detect: Any, config: Any, *, by_its_rule: bool) -> Finding | None:
    known = Series.objects.filter(kind=anomaly.kind, entity=anomaly.entity).aggregate(
        first=Min("first_time"), last=Max("last_time")
    )
    if known["first"] is None:
        return None
    scan = anomaly.last_scan or anomaly.scan
    window = histories.Window(anomaly.entity, anomaly.started_at, known["first"], known["last"])
    replayed = scan.trigger == Scan.Trigger.REPLAY
    history = histories.load(anomaly.kind, [window], until=scan.now, replayed=replayed)
    if by_its_rule:
        history = replace(history, rules=rules.as_judged(anomaly, until=scan.now, replayed=replayed))
    start, end = anomaly.started_at.timestamp(), anomaly.active_until.timestamp()
    return next(
        (
            finding
            for finding in detect(history, config)
            if finding.topic == anomaly.topic and finding.start <= end and finding.end >= start
        ),
        None,
    )


def _differences(anomaly: Anomaly, finding: Finding | None) -> list[Difference]:
    if finding is None:
        return []
    common = evidence.in_common(
        finding.kind,
        finding.entity,
        datetime.fromtimestamp(finding.start, UTC),
        datetime.fromtimestamp(finding.end, UTC),
    )
    derived = {**finding.evidence, "events": {"count": common.count, "hash": common.hash}}
    # What others say of its severity is no figure of its own.
    names = [name for name in dict.fromkeys([*anomaly.evidence, *derived]) if name not in severities.DERIVED]
    return [
        Difference(name, anomaly.evidence.get(name), derived.get(name))
        for name in names
        if anomaly.evidence.get(name) != derived.get(name)
    ]


def _dropped(anomaly: Anomaly) -> str:
    """Say which counts that it was judged by are no longer stored, if that is so."""
    width = int(anomaly.evidence.get("resolution_seconds", 0))
    if width not in BLOCK_SECONDS:
        return ""
    counts = BucketBlock.objects.filter(
        series__kind=anomaly.kind,
        series__entity=anomaly.entity,
        resolution_seconds=width,
        start__gt=anomaly.started_at - timedelta(seconds=BLOCK_SECONDS[width]),
        start__lt=anomaly.active_until,
    )
    return "" if counts.exists() else f"Its counts by {wording.span(width)} are no longer stored."


def _reasons(anomaly: Anomaly, finding: Finding | None, differences: list[Difference]) -> list[str]:
    """Say why what comes out differs, as far as the figures tell."""
    if finding is None:
        changed_since = "From what is stored today it would not be raised: its counts or its history have changed."
        return [_dropped(anomaly) or changed_since]
    changed = {difference.figure for difference in differences}
    reasons = list(filter(None, [_dropped(anomaly) if differences else ""]))
    if "events" in changed:
        stored, found = anomaly.evidence.get("events", {}), next(d for d in differences if d.figure == "events").derived
        more = found["count"] - stored.get("count", 0)
        if more > 0 and anomaly.state == Anomaly.State.OPEN:
            reasons.append(f"{more:,} newer events wait for the next scan.")
        elif more > 0:
            reasons.append(f"{more:,} of its events came too late for it to be judged again.")
        elif more < 0:
            reasons.append(f"{-more:,} of its events are no longer stored.")
        else:
            reasons.append("Its events are not those that it was judged by.")
    if "expected" in changed and "parameters" not in changed:
        reasons.append("What was expected differs: its history has changed since, by events that came late.")
    if differences and not reasons:
        reasons.append(f"Other figures differ: {', '.join(sorted(changed))}.")
    return reasons

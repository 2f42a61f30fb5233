"""Keeping: from findings in memory to anomalies for review."""

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection

from anomalies.detection.finding import Finding
from anomalies.models import Anomaly, Interval, ReviewEntry, Scan, Severity
from anomalies.services import metrics
from anomalies.services.actor import Actor
from anomalies.services.outbox import announce

DETECTION = Actor(name="detection")  # of what no person did
TICK_SECONDS = 60  # between scheduled scans

# What all events behind an anomaly have in common.
_SHARED = """
SELECT {columns} FROM anomalies_event WHERE {key} AND time >= %s AND time < %s
"""
_SHARED_COLUMNS = ("agent_id", "principal_id", "host(ip)", "integration", "resource", "resource_type")
_KEYS = {"agent": "agent_id = %s", "principal": "principal_id = %s", "address": "ip = %s::inet"}


@dataclass(slots=True)
class Kept:
    raised: int = 0
    extended: int = 0
    closed: int = 0


def keep(
    findings: Sequence[Finding],
    *,
    kind: str,
    entities: Sequence[str],
    scan: Scan,
    replayed: bool,
) -> Kept:
    """Raise, extend and close the anomalies of entities that were judged, in the caller's transaction.

    A finding belongs to the anomaly of the same type and entity that it overlaps, and an anomaly takes one finding:
    entities are judged from the start of the anomalies on that could go on, so that detectors join what belongs
    together. What people decided about an anomaly stays, unless its severity rises. An open anomaly without a finding
    is back in its band and closes. `replayed`: findings are dated by the tick that would have found them, not by now.
    """
    kept = Kept()
    known: dict[tuple[str, str], list[Anomaly]] = defaultdict(list)
    if findings:
        earliest = _time(min(finding.start for finding in findings)) - timedelta(hours=2)
        stored = Anomaly.objects.filter(active_until__gte=earliest) | Anomaly.objects.filter(state=Anomaly.State.OPEN)
    else:
        stored = Anomaly.objects.filter(state=Anomaly.State.OPEN)
    for anomaly in stored.filter(kind=kind, entity__in=entities).select_for_update().order_by("id"):
        known[anomaly.type, anomaly.entity].append(anomaly)

    confirmed: set[int] = set()
    for finding in sorted(findings, key=lambda finding: (finding.start, finding.type, finding.entity)):
        candidates = known[finding.type, finding.entity]
        match = next((one for one in candidates if one.pk not in confirmed and _overlap(finding, one)), None)
        if match is None:
            match = _raise(finding, scan, replayed)
            candidates.append(match)
            kept.raised += 1
        elif _extend(match, finding, scan, replayed):
            kept.extended += 1
        confirmed.add(match.pk)
        if match.state == Anomaly.State.OPEN and not finding.open:
            kept.closed += _close(match, scan)

    for anomalies in known.values():
        for anomaly in anomalies:
            if anomaly.state == Anomaly.State.OPEN and anomaly.pk not in confirmed:
                kept.closed += _close(anomaly, scan)
    return kept


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _overlap(finding: Finding, anomaly: Anomaly) -> bool:
    return finding.start <= anomaly.active_until.timestamp() and finding.end >= anomaly.started_at.timestamp()


def _fingerprint(finding: Finding) -> str:
    """Detector, series and start; numbered where an anomaly that began then has turned out to begin at another time."""
    identity = f"{finding.type}|{finding.kind}|{finding.entity}|{finding.start:.6f}"
    for number in itertools.count(1):
        fingerprint = hashlib.sha256(f"{identity}|{number}".encode()).hexdigest()
        if not Anomaly.objects.filter(fingerprint=fingerprint).exists():
            break
    return fingerprint


def _raise(finding: Finding, scan: Scan, replayed: bool) -> Anomaly:
    detected_at = _noticed_at(finding, scan) if replayed else scan.now
    anomaly = Anomaly(
        fingerprint=_fingerprint(finding),
        type=finding.type,
        kind=finding.kind,
        entity=finding.entity,
        severity=finding.severity,
        score=finding.score,
        description=finding.description,
        started_at=_time(finding.start),
        active_until=_time(finding.end),
        detected_at=detected_at,
        updated_at=scan.now,
        evidence=finding.evidence,
        resolution_seconds=finding.resolution_seconds,
        deviation=finding.deviation,
        scan=scan,
    )
    _describe(anomaly, finding)
    anomaly.save(force_insert=True)
    metrics.keep(anomaly, finding.metrics)
    _record(anomaly, ReviewEntry.Action.DETECTED, detected_at, note=_severity_name(finding.severity))
    announce("anomaly.detected", anomaly)
    return anomaly


def _noticed_at(finding: Finding, scan: Scan) -> datetime:
    """The first tick of the schedule at which the finding would have been raised."""
    return min(_time(math.ceil(finding.raised_at / TICK_SECONDS) * TICK_SECONDS), scan.now)


def _extend(anomaly: Anomaly, finding: Finding, scan: Scan, replayed: bool) -> bool:
    """Bring an anomaly up to what is known now, and say whether anything changed."""
    worse = finding.severity > anomaly.severity
    resumed = finding.open and anomaly.state == Anomaly.State.CLOSED
    detected_at = min(anomaly.detected_at, _noticed_at(finding, scan)) if replayed else anomaly.detected_at
    # Judged anew from its start on: a finer resolution may know both ends better than what was known at first.
    started_at, active_until = _time(finding.start), _time(finding.end)
    same = (anomaly.started_at, anomaly.active_until, anomaly.detected_at) == (started_at, active_until, detected_at)
    if same and not worse and not resumed and anomaly.evidence == finding.evidence:
        return False

    if detected_at < anomaly.detected_at:
        _record(anomaly, ReviewEntry.Action.EXTENDED, scan.now, note="dated by a replay of the history")
    anomaly.started_at, anomaly.active_until, anomaly.detected_at = started_at, active_until, detected_at
    anomaly.evidence, anomaly.description = finding.evidence, finding.description
    anomaly.score = max(anomaly.score, finding.score)
    anomaly.resolution_seconds, anomaly.deviation = finding.resolution_seconds, finding.deviation
    anomaly.updated_at = scan.now
    changed = ["started_at", "active_until", "detected_at", "evidence", "description", "score", "updated_at"]
    changed += ["resolution_seconds", "deviation"]
    if not finding.open and anomaly.state == Anomaly.State.CLOSED:
        anomaly.ended_at = active_until
        changed.append("ended_at")
    if resumed:
        anomaly.state, anomaly.ended_at = Anomaly.State.OPEN, None
        changed += ["state", "ended_at"]
        _record(anomaly, ReviewEntry.Action.EXTENDED, scan.now, note=finding.description)
    changed += _describe(anomaly, finding)
    if worse:
        before = _severity_name(anomaly.severity)
        anomaly.severity = finding.severity
        changed.append("severity")
        note = f"severity rose from {before} to {_severity_name(finding.severity)}"
        _record(anomaly, ReviewEntry.Action.ESCALATED, scan.now, note=note)
        changed += _reopen(anomaly, scan, note)
    anomaly.save(update_fields=changed)
    metrics.keep(anomaly, finding.metrics)
    if worse or resumed:
        announce("anomaly.updated", anomaly)
    return True


def _reopen(anomaly: Anomaly, scan: Scan, note: str) -> list[str]:
    """A decision was about something milder: ask again, and say why."""
    if anomaly.status == Anomaly.Status.OPEN:
        return []
    _record(
        anomaly,
        ReviewEntry.Action.REOPENED,
        scan.now,
        note=note,
        from_status=anomaly.status,
        to_status=Anomaly.Status.OPEN,
    )
    anomaly.status, anomaly.verdict = Anomaly.Status.OPEN, ""
    anomaly.acknowledged_at, anomaly.acknowledged_by, anomaly.resolved_at = None, "", None
    return ["status", "verdict", "acknowledged_at", "acknowledged_by", "resolved_at"]


def _close(anomaly: Anomaly, scan: Scan) -> int:
    anomaly.state, anomaly.ended_at = Anomaly.State.CLOSED, anomaly.active_until
    anomaly.updated_at = scan.now
    anomaly.save(update_fields=["state", "ended_at", "updated_at"])
    Interval.objects.filter(metric__anomaly=anomaly, state=Anomaly.State.OPEN).update(state=Anomaly.State.CLOSED)
    _record(anomaly, ReviewEntry.Action.CLOSED, scan.now, note="no further deviation")
    announce("anomaly.closed", anomaly)
    return 1


def _describe(anomaly: Anomaly, finding: Finding) -> list[str]:
    """Fill in what all events behind the anomaly share, and return the fields that were set."""
    columns = ", ".join(
        f"CASE WHEN min({column}) = max({column}) AND count({column}) = count(*) THEN min({column}) END"
        for column in _SHARED_COLUMNS
    )
    with connection.cursor() as cursor:
        cursor.execute(
            _SHARED.format(columns=columns, key=_KEYS[finding.kind]),
            [finding.entity, anomaly.started_at, anomaly.active_until],
        )
        agent, principal, ip, integration, resource, resource_type = cursor.fetchone()
    anomaly.agent_id = finding.entity if finding.kind == "agent" else agent
    anomaly.principal_id = finding.entity if finding.kind == "principal" else finding.principal_id or principal
    anomaly.ip = finding.entity if finding.kind == "address" else ip
    anomaly.integration = integration or ""
    anomaly.resource, anomaly.resource_type = resource or "", resource_type or ""
    return ["agent", "principal", "ip", "integration", "resource", "resource_type"]


def _severity_name(severity: int) -> str:
    return str(Severity(severity).label)


def _record(
    anomaly: Anomaly, action: ReviewEntry.Action, at: datetime, *, note: str, from_status: str = "", to_status: str = ""
) -> None:
    ReviewEntry.objects.create(
        anomaly=anomaly,
        action=action,
        at=at,
        actor=DETECTION.name,
        note=note,
        from_status=from_status,
        to_status=to_status,
    )

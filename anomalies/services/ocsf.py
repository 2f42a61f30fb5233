"""Anomalies as SIEMs take them in: findings of OCSF 1.5.0, class Detection Finding (2004) with the profile Incident.

A finding is open until people resolve it, late events explain it, or it turns out to be part of another: then it is
closed. That a deviation is over is an update; who is asked to look at it has not looked yet.

Our `score` of 0 to 1 is the confidence of 0 to 100. Agent and user are the actor of the one evidence, which has our own
figures as they are; status and verdict in our own words stand in `status_detail` and `verdict`.

Source: the OCSF schema 1.5.0, class detection_finding, profile incident.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Severity
from anomalies.models.anomaly import SNOOZED, SUPPRESSED, WITHDRAWN
from anomalies.services.channels import url_of

VERSION = "1.5.0"
PRODUCT = "Anomalies"
FINDINGS, DETECTION_FINDING = 2, 2004
RULE, STATISTICAL = 1, 3  # kinds of analytics
MERGED = "merged"
SEVERITIES = {Severity.LOW: (2, "Low"), Severity.MEDIUM: (3, "Medium"), Severity.HIGH: (4, "High")}
NEW, IN_PROGRESS, HIDDEN, RESOLVED = (1, "New"), (2, "In Progress"), (3, "Suppressed"), (4, "Resolved")
STATUSES = {
    Anomaly.Status.OPEN: NEW,
    Anomaly.Status.ACKNOWLEDGED: IN_PROGRESS,
    Anomaly.Status.RESOLVED: RESOLVED,
    SNOOZED: IN_PROGRESS,
    SUPPRESSED: HIDDEN,
    WITHDRAWN: RESOLVED,
    MERGED: RESOLVED,
}
VERDICTS: dict[str, tuple[int, str]] = {
    Anomaly.Verdict.FALSE_POSITIVE: (1, "False Positive"),
    Anomaly.Verdict.TRUE_POSITIVE: (2, "True Positive"),
    Anomaly.Verdict.BENIGN: (5, "Benign"),
    Anomaly.Verdict.TEST: (6, "Test"),
    Anomaly.Verdict.DUPLICATE: (10, "Duplicate"),
}
ENDED = (Anomaly.Status.RESOLVED, WITHDRAWN, MERGED)


class Activity(IntEnum):
    CREATE = 1
    UPDATE = 2
    CLOSE = 3


def status_of(anomaly: Anomaly) -> str:
    """Return in our own words what became of it."""
    if anomaly.merged_into_id is not None:
        return MERGED
    if anomaly.status != Anomaly.Status.OPEN:
        return str(anomaly.status)
    if anomaly.state == Anomaly.State.WITHDRAWN:
        return WITHDRAWN
    if anomaly.suppression_id is not None:
        return SUPPRESSED
    return SNOOZED if anomaly.snoozed_until else Anomaly.Status.OPEN.value


def activity_of(status: str, *, new: bool) -> Activity:
    if status in ENDED:
        return Activity.CLOSE
    return Activity.CREATE if new else Activity.UPDATE


def as_it_is(anomaly: Anomaly) -> dict[str, Any]:
    """The finding at the moment, dated by what came last."""
    status = status_of(anomaly)
    changed = [anomaly.detected_at, anomaly.updated_at, anomaly.acknowledged_at, anomaly.resolved_at]
    at = max(time for time in changed if time)
    new = status == Anomaly.Status.OPEN and at == anomaly.detected_at
    assignee = anomaly.assignee.get_username() if anomaly.assignee else ""
    return finding(anomaly, status, assignee=assignee, activity=activity_of(status, new=new), at=at)


def finding(
    anomaly: Anomaly, status: str, *, assignee: str, activity: Activity, at: datetime, uid: str = ""
) -> dict[str, Any]:
    """The finding after a change at that time, which others know by `uid`."""
    severity_id, severity = SEVERITIES[Severity(anomaly.severity)]
    status_id, said = STATUSES[status]
    verdict_id, verdict = (
        VERDICTS[Anomaly.Verdict.DUPLICATE] if status == MERGED else VERDICTS.get(anomaly.verdict, (0, "Unknown"))
    )
    told = {
        "metadata": {
            "version": VERSION,
            "product": {"name": PRODUCT, "vendor_name": PRODUCT},
            "profiles": ["incident"],
            "uid": uid,
        },
        "category_uid": FINDINGS,
        "category_name": "Findings",
        "class_uid": DETECTION_FINDING,
        "class_name": "Detection Finding",
        "activity_id": activity.value,
        "activity_name": activity.name.title(),
        "type_uid": DETECTION_FINDING * 100 + activity,
        "type_name": f"Detection Finding: {activity.name.title()}",
        "time": _milliseconds(at),
        "start_time": _milliseconds(anomaly.started_at),
        "end_time": _milliseconds(anomaly.active_until),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": said,
        "status_detail": status,
        "verdict_id": verdict_id,
        "verdict": verdict,
        "comment": anomaly.reason,
        "confidence_score": round(100 * anomaly.score),
        "is_alert": activity is Activity.CREATE,
        "message": anomaly.description,
        "assignee": {"name": assignee},
        "finding_info": _info(anomaly, at),
        "evidences": [_evidence(anomaly)],
        "resources": _resources(anomaly),
    }
    return _filled(told)


def _info(anomaly: Anomaly, at: datetime) -> dict[str, Any]:
    detector = DETECTORS.get(anomaly.type)
    label = detector.label if detector else anomaly.type
    evidence = anomaly.evidence
    return {
        "uid": anomaly.public_id,
        "title": anomaly.title or anomaly.description,
        "desc": evidence.get("why") or anomaly.description,
        "types": [label],
        "created_time": _milliseconds(anomaly.detected_at),
        "modified_time": _milliseconds(at),
        "first_seen_time": _milliseconds(anomaly.started_at),
        "last_seen_time": _milliseconds(anomaly.active_until),
        "related_events_count": evidence.get("event_count"),
        "src_url": url_of(anomaly.public_id),
        "data_sources": list(anomaly.platforms),
        "analytic": {
            "uid": anomaly.type,
            "name": label,
            "type_id": RULE if evidence.get("p") is None else STATISTICAL,
            "type": "Rule" if evidence.get("p") is None else "Statistical",
            "version": str(evidence.get("detector_version") or ""),
        },
    }


def _evidence(anomaly: Anomaly) -> dict[str, Any]:
    country = anomaly.countries[0] if len(anomaly.countries) == 1 else ""
    return {
        "actor": {"app_uid": anomaly.agent_id, "user": {"uid": anomaly.principal_id}},
        "src_endpoint": {"ip": anomaly.ip, "location": {"country": country}} if anomaly.ip else None,
        "data": anomaly.evidence,
    }


def _resources(anomaly: Anomaly) -> list[dict[str, Any]]:
    named = {"name": anomaly.resource, "type": anomaly.resource_type} if anomaly.resource else {}
    of = {"name": anomaly.integration, "type": "integration"} if anomaly.integration else {}
    return [one for one in (named, of) if one]


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _filled(told: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is unknown, but not among our own figures: there nothing says something, too."""
    kept = {name: _kept(value) if name != "data" else value for name, value in told.items()}
    return {name: value for name, value in kept.items() if value not in (None, "", [], {})}


def _kept(value: Any) -> Any:
    if isinstance(value, list):
        return [_kept(one) for one in value]
    return _filled(value) if isinstance(value, dict) else value

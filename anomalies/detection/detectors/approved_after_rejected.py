"""Approved after being rejected in the past: a person said no to much the same, and then it was approved."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anomalies.detection import scoring, screening, wording
from anomalies.detection.access_finding import Observation, access_finding
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding
from anomalies.detection.history import DAY, History
from anomalies.detection.parameter import parameter
from anomalies.detection.request import REJECTED_DAYS, AccessRequest, Decision, Requester, Unit

VERSION = 1
SECOND = 1.0  # that an approval lasts

Rejected = list[tuple[Decision, AccessRequest]]


@dataclass(frozen=True, slots=True)
class Config:
    within_days: float = parameter(
        90.0,
        label="Rejection counts for",
        unit="days",
        low=1,
        high=REJECTED_DAYS,
        help="How long before the approval a rejection counts",
    )
    soon_hours: float = parameter(
        24.0,
        label="Soon after the rejection",
        unit="hours",
        low=0,
        high=24 * 30,
        help="An approval so soon after the rejection counts a level more",
    )


def detect(history: History, config: Config) -> list[Finding]:
    """Return one finding for each request at its first approval that follows a manual rejection of a similar one.

    Similar: same requester, integration and resource type, and a resource or permission in common; a request is similar
    to itself. A rejection is manual if a person decided it. Severity is medium: two decisions contradict each other.
    Low where who approved is who had rejected, a change of mind; a level higher if the approval came within
    `soon_hours` or after several rejections, as if somebody had asked until it was granted.

    Source: Apono, Anomaly Detection, Anomaly Types Reference.
    """
    found = []
    for row in history.totals:
        requester = history.requests.get(history.entities[row])
        if requester is None:
            continue
        for request in requester.requests:
            for approval, rejected in itertools.islice(_contradicted(requester, request, config), 1):
                known_at = max(approval.time, request.known_at, *(other.known_at for _, other in rejected))
                if known_at >= history.judge_from[row]:
                    found.append(_finding(history, row, requester, request, approval, rejected, config))
    return found


def chart(history: History, _: Config, width: int) -> Chart:
    """Return all requests of the user with their baseline: this type has no band of its own."""
    return of_requests(history, width)


def _contradicted(requester: Requester, request: AccessRequest, config: Config) -> Iterator[tuple[Decision, Rejected]]:
    """Yield each approval with the manual rejections of similar requests that it follows, oldest first."""
    for approval in request.decisions:
        if not approval.approved:
            continue
        rejected = [
            (decision, other)
            for other in requester.requests
            for decision in other.decisions
            if not decision.approved
            and decision.by_person
            and 0 < approval.time - decision.time <= config.within_days * DAY
            and (other.id == request.id or other.alike(request))
        ]
        if rejected:
            yield approval, sorted(rejected, key=lambda pair: (pair[0].time, pair[1].id))


def _finding(
    history: History,
    row: int,
    requester: Requester,
    request: AccessRequest,
    approval: Decision,
    rejected: Rejected,
    config: Config,
) -> Finding:
    rejection, other = rejected[-1]
    apart = approval.time - rejection.time
    same_person = bool(approval.by) and approval.by == rejection.by and approval.by_person
    insisted = apart <= config.soon_hours * 3600 or len(rejected) > 1
    severity = int(np.clip((LOW if same_person else MEDIUM) + insisted, LOW, HIGH))
    units = _shared_units(request, other)
    who = history.entities[row]
    ago = wording.span(apart)
    approver = approval.by or ("a person" if approval.by_person else "the access flow")
    again = "the same request" if other.id == request.id else f"a similar one, {other.name},"
    return access_finding(
        DETECTOR.type,
        history,
        who,
        [request, other] if other.id != request.id else [request],
        units=units,
        start=approval.time,
        end=approval.time + SECOND,
        raised_at=max(approval.time, request.known_at),
        observation=Observation(len(rejected), 0, 0, 1.0, "rejections before the approval"),
        history_days=min(max(0.0, approval.time - requester.first_seen) / DAY, config.within_days),
        severity=severity,
        score=scoring.floor_score(severity),
        description=f"{request.name}: {units[0] if units else 'access'} approved, rejected {ago} before",
        topic=request.id,
        rejected_request_id=other.id,
        rejected_at=rejection.time,
        rejected_by=rejection.by,
        approved_at=approval.time,
        approved_by=approval.by,
        approved_by_person=approval.by_person,
        rejections=len(rejected),
        why=f"{request.name} of {who} was approved by {approver}. {ago.capitalize()} before, "
        f"{rejection.by or 'a person'} had rejected {again} "
        f"for {wording.listing([str(unit) for unit in units]) if units else 'the same'}. "
        f"People had rejected such requests {wording.times(len(rejected))} in the "
        f"{wording.number(config.within_days)} days before the approval.",
        config=config,
        version=VERSION,
    )


def _shared_units(request: AccessRequest, other: AccessRequest) -> list[Unit]:
    """Return the units of the request that are like one of the other."""
    return [unit for unit in request.units if any(unit.alike(theirs) for theirs in other.units)] or list(request.units)


DETECTOR = Detector(
    type="approved_after_rejected",
    label="Approved after being rejected in the past",
    short="After rejection",
    meaning="Triggered when a request of similar scope was manually rejected and subsequently approved within the last "
    "90 days.",
    risk="Improper Approval",
    entity="request",
    may_indicate=(
        "The requester should not have access.",
        "Due to human error, the request has been approved.",
    ),
    recommended_actions=(
        "Validate the approval with the previous and current approvers.",
        "Consider revoking this request.",
    ),
    version=VERSION,
    counts="access_requests",
    config=Config,
    detect=detect,
    chart=chart,
    screen=screening.after_requests,
)

"""Inactive user detected: somebody asks for access for the first time in months."""

from dataclasses import dataclass

import numpy as np

from anomalies.detection import scoring, screening, wording
from anomalies.detection.access_finding import Observation, access_finding
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding
from anomalies.detection.history import DAY, HOUR, History
from anomalies.detection.parameter import parameter
from anomalies.detection.request import AccessRequest, Requester

VERSION = 1
SECOND = 1.0  # that a request lasts


@dataclass(frozen=True, slots=True)
class Config:
    inactive_days: float = parameter(
        90.0,
        label="Inactive for",
        unit="days",
        low=1,
        high=3650,
        help="Without a request for so long, or never and known for so long",
    )
    min_gaps: int = parameter(
        5,
        label="Gaps to know a rhythm",
        unit="gaps",
        low=1,
        high=1000,
        help="Of a user with so many gaps between requests, the longest counts more",
    )


def detect(history: History, config: Config) -> list[Finding]:
    """Return one finding for each return of a user: the first request in `inactive_days`, and those of its hour.

    Who never asked before counts only if the account had been known for that long. The gap's p is its rank among the
    user's own gaps before, (1 + gaps as long) / (1 + gaps). Severity is low if the user had been seen otherwise in that
    time, as many people seldom need access; medium after silence, as of somebody who left; a level higher if it is the
    longest of at least `min_gaps` gaps.

    Source: Apono, Anomaly Detection, Anomaly Types Reference.
    """
    found = []
    for row in history.totals:
        requester = history.requests.get(history.entities[row])
        if requester is None:
            continue
        known = [request for request in requester.requests if request.in_time]
        for n, request in enumerate(known):
            if n and known[n - 1].time == request.time:
                continue  # one return, however many are asked for at that instant
            hour = [one for one in known[n:] if one.time < request.time + HOUR]
            due = max(one.known_at for one in hour) >= history.judge_from[row]
            if due and (finding := _judge(history, row, requester, hour, config)):
                found.append(finding)
    return found


def chart(history: History, _: Config, width: int) -> Chart:
    """Return all requests of the user with their baseline: this type has no band of its own."""
    return of_requests(history, width)


def _judge(
    history: History, row: int, requester: Requester, hour: list[AccessRequest], config: Config
) -> Finding | None:
    request = hour[0]
    before = requester.times[requester.times < request.time]
    since = float(before[-1]) if len(before) else min(requester.first_seen, request.time)
    gap = request.time - since
    if gap < config.inactive_days * DAY:
        return None
    gaps = np.diff(before)
    p = (1 + int((gaps >= gap).sum())) / (1 + len(gaps))
    seen_at = request.active_at
    silent = seen_at is None or request.time - seen_at >= config.inactive_days * DAY
    longest = len(gaps) >= config.min_gaps and not (gaps >= gap).any()
    severity = int(np.clip((MEDIUM if silent else LOW) + longest, LOW, HIGH))
    who, limit = history.entities[row], wording.plural(config.inactive_days, "day")
    quiet = wording.plural(gap // DAY, "day")
    if len(before):
        description, first = f"first request in {quiet}", f"for the first time in {quiet}"
    else:
        description = f"first request ever, the account is known for {quiet}"
        first = f"for the first time ever, and the account is known for {quiet}"
    if seen_at is None or silent:
        other = f"Nothing else was seen of {who} in these {limit}."
    else:
        other = f"By other events, {who} had been seen {wording.span(request.time - seen_at)} before."
    return access_finding(
        DETECTOR.type,
        history,
        who,
        hour,
        units=[unit for one in hour for unit in one.units],
        start=request.time,
        end=max(hour[-1].time, request.known_at) + SECOND,
        raised_at=request.known_at,
        observation=Observation(gap / DAY, 0, config.inactive_days, p, "days without a request"),
        history_days=max(0.0, request.time - requester.first_seen) / DAY,
        severity=severity,
        score=max(scoring.score(scoring.surprise(p)), scoring.floor_score(severity)),
        description=f"{request.name}: {description}",
        last_request_at=since if len(before) else None,
        last_active_at=seen_at,
        account_known_since=requester.first_seen,
        gaps=len(gaps),
        longest_gap_days=float(gaps.max()) / DAY if len(gaps) else None,
        why=f"{who} asked for access {first}; a user counts as inactive from {limit} on. {other}"
        + (f" It is the longest of {wording.plural(len(gaps) + 1, 'gap')} between their requests." if longest else ""),
        config=config,
        version=VERSION,
    )


DETECTOR = Detector(
    type="inactive_user",
    label="Inactive user detected",
    short="Inactive user",
    meaning="Triggered when a user makes a request for the first time in 90 days.",
    risk="Dormant Account",
    entity="user",
    may_indicate=(
        "The requester is an Infrequent user who needs new access.",
        "The requester was recently on leave.",
        "A client-side IdP off-boarding misconfiguration has permitted a requester who has recently separated from the "
        "company to retain request permissions.",
    ),
    recommended_actions=("Validate the user should be granted access.",),
    version=VERSION,
    counts="access_requests",
    config=Config,
    detect=detect,
    chart=chart,
    screen=screening.after_requests,
)

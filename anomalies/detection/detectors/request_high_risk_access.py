"""Request high risk access: elevated access is asked for, to a sensitive resource."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anomalies.detection import scoring, screening, wording
from anomalies.detection.access_finding import Observation, access_finding
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector
from anomalies.detection.finding import HIGH, LOW, Finding
from anomalies.detection.history import DAY, History
from anomalies.detection.parameter import parameter, words
from anomalies.detection.request import RECENT_DAYS, AccessRequest, Requester, Unit, compact

VERSION = 1
SECOND = 1.0  # that a request lasts


@dataclass(frozen=True, slots=True)
class Config:
    sensitive_words: tuple[str, ...] = words(
        "customer",
        "phi",
        "pii",
        "prod",
        label="Words of sensitive resources",
        help="A resource is sensitive if its name or a tag contains one of them",
    )
    elevated_words: tuple[str, ...] = words(
        "admin",
        "full access",
        "owner",
        label="Words of elevated permissions",
        help="Access is elevated if the permission's name contains one of them",
    )
    known_days: float = parameter(
        30.0,
        label="Known access counts for",
        unit="days",
        low=0,
        high=RECENT_DAYS,
        help="Who was granted the same so lately counts a level less",
    )


@dataclass(frozen=True, slots=True)
class _Risk:
    unit: Unit
    sensitive: str  # the word, where it stands, and whether something there begins with it
    where: str
    begins: bool
    elevated: str


def detect(history: History, config: Config) -> list[Finding]:
    """Return one finding for each request of which a unit is both sensitive and elevated.

    Words are compared without case, spaces, `_` and `-`, and found anywhere: `prod` in `product`, `phi` in `graphics`.
    Severity is high: the rule asks for both at once, and what is granted so is hard to take back. A level lower where
    the sensitive word is only within a longer one, which most often is chance; a level lower where the same requester
    was approved for the same units in the `known_days` before, which is a habit.

    Source: Apono, Anomaly Detection, Anomaly Types Reference.
    """
    found = []
    for row in history.totals:
        requester = history.requests.get(history.entities[row])
        if requester is None:
            continue
        for request in requester.requests:
            due = request.in_time and request.known_at >= history.judge_from[row]
            if due and (risks := list(_risks(request, config))):
                found.append(_finding(history, row, requester, request, risks, config))
    return found


def chart(history: History, _: Config, width: int) -> Chart:
    """Return all requests of the user with their baseline: this type has no band of its own."""
    return of_requests(history, width)


def _risks(request: AccessRequest, config: Config) -> Iterator[_Risk]:
    for unit in request.units:
        elevated = next((word for word in config.elevated_words if compact(word) in compact(unit.permission)), None)
        if elevated is None:
            continue
        places = [("resource", unit.resource), *(("tag", tag) for tag in unit.tags)]
        risks = [
            _Risk(unit, word, f"{what} {name}", _begins(word, name), elevated)
            for what, name in places
            for word in config.sensitive_words
            if compact(word) in compact(name)
        ]
        if risks:
            yield max(risks, key=lambda risk: risk.begins)  # the first of the plainest


def _begins(word: str, name: str) -> bool:
    """Whether a part of the name begins with the word: `prod` in `eu-production`, not in `reproductions`."""
    parts = "".join(letter if letter.isalnum() else " " for letter in name.casefold()).split()
    return any(compact("".join(parts[n:])).startswith(compact(word)) for n in range(len(parts)))


def _finding(
    history: History, row: int, requester: Requester, request: AccessRequest, risks: Sequence[_Risk], config: Config
) -> Finding:
    before = requester.before(request.time, config.known_days * DAY)
    asked_before = [
        earlier
        for earlier in requester.before(request.time, RECENT_DAYS * DAY)
        if next(_risks(earlier, config), None) is not None
    ]
    known = all(any(_granted(earlier, risk.unit, request.time) for earlier in before) for risk in risks)
    plainest = max(risks, key=lambda risk: risk.begins)
    severity = int(np.clip(HIGH - known - (not plainest.begins), LOW, HIGH))
    unit = plainest.unit
    others = f" and {wording.plural(len(risks) - 1, 'other')}" if len(risks) > 1 else ""
    who = history.entities[row]
    age_days = max(0.0, request.time - requester.first_seen) / DAY
    return access_finding(
        DETECTOR.type,
        history,
        who,
        [request],
        units=[risk.unit for risk in risks],
        start=request.time,
        end=request.known_at + SECOND,
        raised_at=request.known_at,
        observation=Observation(len(risks), 0, 0, 1.0, "risky permissions"),
        history_days=min(age_days, RECENT_DAYS),
        severity=severity,
        score=scoring.floor_score(severity),
        description=f"{request.name}: {unit}{others}, elevated access to a sensitive resource",
        topic=request.id,
        words=[{"sensitive": risk.sensitive, "where": risk.where, "elevated": risk.elevated} for risk in risks],
        asked_before=len(asked_before),
        granted_before=known,
        why=f"{who} asked for {unit}{others}. The {plainest.where} contains “{plainest.sensitive}”"
        + ("" if plainest.begins else ", within a longer word,")
        + f" and the permission “{unit.permission}” contains “{plainest.elevated}”. "
        + f"In the {RECENT_DAYS} days before, {who} made {wording.none_or(len(asked_before), 'such request')}"
        + (", and was approved for the same." if known else "."),
        config=config,
        version=VERSION,
    )


def _granted(request: AccessRequest, unit: Unit, until: float) -> bool:
    return unit in request.units and any(one.approved and one.time < until for one in request.decisions)


DETECTOR = Detector(
    type="request_high_risk_access",
    label="Request high risk access",
    short="Risky request",
    meaning="Triggered when elevated access is requested to a sensitive resource and may pose risks to the "
    "organization.",
    risk="Privilege Escalation",
    entity="resource",
    may_indicate=(
        "Sensitive Resource: Resource name or tag contains one of the following: customer, phi, pii, prod.",
        "Elevated Access: Permission name contains one of the following: admin, full access, owner.",
    ),
    recommended_actions=("Investigate this request.", "Consider revoking this request."),
    version=VERSION,
    counts="access_requests",
    config=Config,
    detect=detect,
    chart=chart,
    screen=screening.after_requests,
)

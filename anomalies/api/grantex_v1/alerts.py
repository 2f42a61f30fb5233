"""Alerts: the anomalies with their whole life, from their detection to what people made of them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from django.db.models import Case, QuerySet, TextField, When
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Body, Query, Router
from pydantic import ConfigDict, Field

from anomalies.api.auth import ApiKeyAuth, caller
from anomalies.api.bodies import encoded, json_answer
from anomalies.api.errors import CamelSchema, Error
from anomalies.api.grantex_v1.answers import NO_NUL, check_query, path_id
from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Anomaly, ApiKey, ReviewEntry, Severity
from anomalies.services import reviews
from anomalies.services.audit import wire_time

READ, REVIEW = ApiKeyAuth(ApiKey.Scope.READ), ApiKeyAuth(ApiKey.Scope.REVIEW)

DEFAULT_LIMIT, MOST = 100, 1000
LABELS = {severity.value: severity.label for severity in Severity}
COLUMNS = (
    *("public_id", "type", "topic", "severity", "score", "status", "state", "description", "agent_id", "principal_id"),
    *("ip", "grant_id", "detected_at", "acknowledged_at", "resolved_at", "verdict", "suppression_id", "snoozed_until"),
)
SHOWN = Cast("evidence", TextField())
RULE_NAME = Case(When(type__in=counting("rule_events"), then=KT("evidence__rule_name")))  # as it was then
EXAMPLE: dict[str, Any] = {
    "alertId": "anom_01KAF7Q3M0V5Z8J2X4N6B9C1DT",
    "ruleId": "rate_spike",
    "ruleName": "Rate spike",
    "severity": "high",
    "status": "open",
    "agentId": "ag_billing",
    "detectedAt": "2026-11-20T12:00:00.000Z",
    "description": "412 requests in 5 minutes, 38 expected",
    "context": {
        "grantId": "grnt_1",
        "principalId": None,
        "ip": None,
        "type": "rate_spike",
        "score": 0.94,
        "state": "open",
        "verdict": None,
        "suppressed": False,
        "snoozedUntil": None,
        "evidence": {"observed": 412, "expected": 38, "unit": "requests", "resolution_seconds": 300},
    },
    "acknowledgedAt": None,
    "resolvedAt": None,
}

router = Router(tags=["Alerts"], by_alias=True)


class AlertAnswer(CamelSchema):
    """`context` holds the evidence, and the grant and user that all of its events name, if they name the same.

    A detector that is no more has a name, but no rule.
    """

    alert_id: str
    rule_id: str | None
    rule_name: str
    severity: str
    status: str
    agent_id: str | None
    detected_at: datetime
    description: str
    context: dict[str, Any]
    acknowledged_at: datetime | None
    resolved_at: datetime | None

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}


class AlertList(CamelSchema):
    data: list[AlertAnswer]

    model_config = {"json_schema_extra": {"examples": [{"data": [EXAMPLE]}]}}


class Wanted(CamelSchema):
    status: Literal["open", "acknowledged", "resolved"] | None = None
    severity: Literal["low", "medium", "high", "critical"] | None = Field(
        None, description="`critical` finds none: nothing is worse than high here"
    )
    agent_id: Annotated[str, Field(min_length=1, max_length=200), NO_NUL] | None = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_LIMIT


class Note(CamelSchema):
    note: Annotated[str, Field(max_length=reviews.MAX_NOTE_LENGTH), NO_NUL] | None = None

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "Looking into it"}]})


class Resolution(Note):
    verdict: Annotated[
        Literal["true_positive", "benign", "false_positive", "duplicate", "test"],
        Field(description="What it turned out to be: an addition of this server's"),
    ] = "benign"

    model_config = ConfigDict(json_schema_extra={"examples": [{"note": "False positive", "verdict": "false_positive"}]})


def told(alerts: QuerySet[Anomaly]) -> list[msgspec.Raw]:
    """The alerts as Grantex spells them, each as JSON.

    Their evidence is most of them: it is passed on as PostgreSQL writes it, and read by nobody on its way.
    """
    rows: QuerySet[Any, dict[str, Any]] = alerts.values(*COLUMNS, shown=SHOWN, rule_name=RULE_NAME)
    return encoded(map(_to_wire, rows))


def _to_wire(row: Mapping[str, Any]) -> dict[str, Any]:
    rule_id, rule_name = _rule(row)
    return {
        "alertId": row["public_id"],
        "ruleId": rule_id,
        "ruleName": rule_name,
        "severity": LABELS[row["severity"]],
        "status": row["status"],
        "agentId": row["agent_id"],
        "detectedAt": wire_time(row["detected_at"]),
        "description": row["description"],
        "context": {
            "grantId": row["grant_id"] or None,
            "principalId": row["principal_id"],
            "ip": row["ip"],
            "type": row["type"],
            "score": row["score"],
            "state": row["state"],
            "verdict": row["verdict"] or None,
            "suppressed": row["suppression_id"] is not None,
            "snoozedUntil": _wire_time(row["snoozed_until"]),
            "evidence": msgspec.Raw(row["shown"].encode()),
        },
        "acknowledgedAt": _wire_time(row["acknowledged_at"]),
        "resolvedAt": _wire_time(row["resolved_at"]),
    }


def _rule(row: Mapping[str, Any]) -> tuple[str | None, str]:
    """The id and name of the rule: a detector, or one that people made; a detector that is no more is none."""
    if row["rule_name"] is not None:
        return row["topic"], row["rule_name"]
    detector = DETECTORS.get(row["type"])
    return (detector.type, detector.label) if detector else (None, row["type"])


def _wire_time(time: datetime | None) -> str | None:
    return wire_time(time) if time else None


def _called(alert_id: str) -> Anomaly:
    anomaly = Anomaly.objects.called(path_id(alert_id))
    if anomaly is None:
        raise Http404(f"There is no alert {alert_id}.")
    return anomaly


@router.get("/anomaly/alerts", auth=READ, response={200: AlertList, 400: Error})
def list_alerts(request: HttpRequest, wanted: Query[Wanted]) -> HttpResponse:
    """Return the newest alerts.

    What is suppressed, snoozed or explained by late events is among them, and its context says so;
    `GET /v1/anomalies?unacknowledged=true` lists what somebody is asked about.
    """
    check_query(request, Wanted)
    alerts = Anomaly.objects.standing()
    if wanted.status is not None:
        alerts = alerts.filter(status=wanted.status)
    if wanted.severity is not None:
        known = [level for level, label in LABELS.items() if label == wanted.severity]
        alerts = alerts.filter(severity__in=known)
    if wanted.agent_id is not None:
        alerts = alerts.filter(agent_id=wanted.agent_id)
    return json_answer({"data": told(alerts.newest_first()[: wanted.limit])})


@router.post(
    "/anomaly/alerts/{path:alert_id}/acknowledge", auth=REVIEW, response={200: AlertAnswer, 400: Error, 404: Error}
)
def acknowledge(request: HttpRequest, alert_id: str, note: Body[Note | None] = None) -> HttpResponse:
    """Mark an alert as seen.

    A call that is repeated, or comes once it is resolved, answers with the alert as it is, and keeps a note that is not
    there yet.
    """
    anomaly, by, at = _called(alert_id), caller(request), timezone.now()
    said = _said(note)
    return _decided(request, anomaly, said, lambda: reviews.acknowledge(anomaly, by=by, at=at, note=said))


@router.post(
    "/anomaly/alerts/{path:alert_id}/resolve", auth=REVIEW, response={200: AlertAnswer, 400: Error, 404: Error}
)
def resolve(request: HttpRequest, alert_id: str, resolution: Body[Resolution | None] = None) -> HttpResponse:
    """Say that an alert is dealt with; one that nobody has acknowledged is acknowledged by that as well.

    A call that is repeated answers with the alert as it is: what was decided first stays, and a note that is not there
    yet is kept.
    """
    anomaly, by, at = _called(alert_id), caller(request), timezone.now()
    verdict, said = (resolution or Resolution()).verdict, _said(resolution)
    return _decided(
        request, anomaly, said, lambda: reviews.resolve(anomaly, verdict=verdict, by=by, at=at, reason=said)
    )


# After those whose paths go on: an id may hold a slash.
@router.get("/anomaly/alerts/{path:alert_id}", auth=READ, response={200: AlertAnswer, 404: Error})
def get_alert(request: HttpRequest, alert_id: str) -> HttpResponse:
    """Return one alert."""
    return _answer(_called(alert_id))


def _said(note: Note | None) -> str:
    return ((note.note if note else None) or "").strip()


def _decided(request: HttpRequest, anomaly: Anomaly, note: str, decide: Callable[[], ReviewEntry]) -> HttpResponse:
    try:
        decide()
    except reviews.RefusedError:
        if note and not ReviewEntry.objects.filter(anomaly=anomaly, note=note).exists():
            reviews.add_note(anomaly, by=caller(request), at=timezone.now(), note=note)
    return _answer(anomaly)


def _answer(anomaly: Anomaly) -> HttpResponse:
    (alert,) = told(Anomaly.objects.filter(pk=anomaly.pk))
    return HttpResponse(bytes(alert), content_type="application/json")

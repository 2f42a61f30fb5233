"""Detect, list and acknowledge anomalies; what is done unasked to agents with a rate spike."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from ninja import Body, Router
from ninja.errors import HttpError
from pydantic import Field

from anomalies.api.auth import ApiKeyAuth, caller
from anomalies.api.bodies import encoded, json_answer, streamed
from anomalies.api.errors import CamelSchema, Error, exemplified
from anomalies.api.grantex_v1.answers import NO_NUL, path_id
from anomalies.models import Anomaly, ApiKey, ReviewEntry, Scan
from anomalies.models.anomaly import AnomalyQuerySet
from anomalies.services import access, reviews, scans
from anomalies.services.audit import wire_time
from anomalies.services.outbox import facts
from anomalies.services.parts import each_once

READ, REVIEW, ADMIN = map(ApiKeyAuth, (ApiKey.Scope.READ, ApiKey.Scope.REVIEW, ApiKey.Scope.ADMIN))

# A deviation that is over still answers `detect` for so long: clients that detect now and then miss none.
HOLDS_FOR = timedelta(hours=24)
# What `facts` tells of: lists may be long, and reading whole rows takes a third longer.
TOLD = (
    "public_id",
    "type",
    "severity",
    "score",
    "description",
    "agent",
    "principal",
    "ip",
    "state",
    "status",
    "started_at",
    "detected_at",
    "acknowledged_at",
    "evidence",
)

router = Router(tags=["Anomalies"], by_alias=True)

EXAMPLE: dict[str, Any] = {
    "id": "anom_01JD3XK8Q2V5N7M4T6R9W1Y0ZB",
    "type": "rate_spike",
    "severity": "high",
    "agentId": "ag_01JD3W2Q7M5X9K4T8R6B1Y0ZVN",
    "principalId": None,
    "description": "412 requests in 5 minutes, 38 expected",
    "metadata": {"observed": 412, "expected": 38.0, "state": "open", "status": "open", "score": 0.94},
    "detectedAt": "2026-11-20T12:00:00.000Z",
    "acknowledgedAt": None,
}


class AnomalyAnswer(CamelSchema):
    id: str
    type: str
    severity: str
    agent_id: str | None
    principal_id: str | None
    description: str
    metadata: dict[str, Any]
    detected_at: datetime
    acknowledged_at: datetime | None

    model_config = exemplified(EXAMPLE)


class AnomalyList(CamelSchema):
    anomalies: list[AnomalyAnswer]
    total: int

    model_config = exemplified({"anomalies": [EXAMPLE], "total": 1})


class Detection(CamelSchema):
    detected_at: datetime
    total: int
    auto_revoked_grants: int
    response_mode: str
    anomalies: list[AnomalyAnswer]

    model_config = exemplified(
        {
            "detectedAt": EXAMPLE["detectedAt"],
            "total": 1,
            "autoRevokedGrants": 0,
            "responseMode": "alert_only",
            "anomalies": [EXAMPLE],
        }
    )


class Acknowledgement(CamelSchema):
    notes: Annotated[str, Field(max_length=reviews.MAX_NOTE_LENGTH), NO_NUL] | None = None

    model_config = exemplified({"notes": "The nightly export, as announced"})


class Policy(CamelSchema):
    mode: str = ""

    model_config = exemplified({"mode": "alert_only"})


def to_wire(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The anomaly as Grantex spells it, from the facts that `services.outbox.facts` tells of it."""
    return {
        "id": facts["id"],
        "type": facts["type"],
        "severity": facts["severity"],
        "agentId": facts["agent_id"],
        "principalId": facts["principal_id"],
        "description": facts["description"],
        "metadata": {
            **facts["evidence"],
            "state": facts["state"],
            "status": facts["status"],
            "score": facts["score"],
        },
        "detectedAt": _wire_time(facts["detected_at"]),
        "acknowledgedAt": _wire_time(facts["acknowledged_at"]),
    }


def _told(anomalies: AnomalyQuerySet) -> Iterator[dict[str, Any]]:
    return (to_wire(facts(each)) for each in each_once(anomalies.newest_first().only(*TOLD)))


def _wire_time(iso: str | None) -> str | None:
    return wire_time(datetime.fromisoformat(iso)) if iso else None


@router.post("/anomalies/detect", auth=REVIEW, response={200: Detection, 503: Error})
def detect(request: HttpRequest) -> HttpResponse:
    """Run detection and return the anomalies that hold now, newest first.

    One that is over holds for another 24 hours. Under `revoke_agent_grants`, the grants of agents in whose requests
    this run found a new spike are revoked.
    """
    scan = scans.run(now=timezone.now(), trigger=Scan.Trigger.API, by=caller(request))
    recently = scan.now - HOLDS_FOR
    holding = Anomaly.objects.standing().filter(
        Q(state=Anomaly.State.OPEN)
        | Q(detected_at__gte=recently)
        | Q(ended_at__gte=recently)
        | Q(scan=scan)
        | Q(last_scan__gte=scan)  # or one that came since and changed it again
    )
    rows = encoded(_told(holding))
    return json_answer(
        {
            "detectedAt": wire_time(scan.now),
            "total": len(rows),
            "autoRevokedGrants": scan.grants_revoked,
            "responseMode": access.response_mode(),
            "anomalies": rows,
        }
    )


@router.get("/anomalies", auth=READ, response=AnomalyList)
def list_anomalies(request: HttpRequest, unacknowledged: str = "") -> HttpResponseBase:
    """Return all anomalies, newest first; with `unacknowledged=true` those that nobody has decided about.

    They are sent as they are read, however many they are.
    """
    matching = Anomaly.objects.needs_review() if unacknowledged == "true" else Anomaly.objects.standing()
    return streamed(request, "anomalies", _told(matching), total=True)


@router.api_operation(
    ["PATCH", "POST"],
    "/anomalies/{path:anomaly_id}/acknowledge",
    auth=REVIEW,
    response={200: AnomalyAnswer, 404: Error, 422: Error},
)
def acknowledge(
    request: HttpRequest, anomaly_id: str, acknowledgement: Body[Acknowledgement | None] = None
) -> HttpResponse:
    """Mark an anomaly as reviewed.

    A call that is repeated answers with the anomaly as it is, and keeps notes that are not there yet.
    """
    anomaly = Anomaly.objects.called(path_id(anomaly_id))
    if anomaly is None:
        raise Http404(f"There is no anomaly {anomaly_id}.")
    by, at = caller(request), timezone.now()
    note = (acknowledgement.notes or "").strip() if acknowledgement else ""
    try:
        reviews.acknowledge(anomaly, by=by, at=at, note=note)
    except reviews.RefusedError:
        if note and not ReviewEntry.objects.filter(anomaly=anomaly, note=note).exists():
            reviews.add_note(anomaly, by=by, at=at, note=note)
    return json_answer(to_wire(facts(anomaly)))


@router.get("/irregularities/response-policy", auth=READ, response=Policy)
def get_response_policy(request: HttpRequest) -> HttpResponse:
    """Return what detection does to agents with a new rate spike."""
    return json_answer({"mode": access.response_mode()})


@router.patch("/irregularities/response-policy", auth=ADMIN, response={200: Policy, (400, 422): Error})
def set_response_policy(request: HttpRequest, policy: Body[Policy | None] = None) -> HttpResponse:
    """Choose `alert_only` or `revoke_agent_grants`."""
    mode = policy.mode if policy else ""
    try:
        access.set_response_mode(mode, by=caller(request), at=timezone.now())
    except access.UnknownModeError as error:
        raise HttpError(400, str(error)) from None
    return json_answer({"mode": mode})

"""From a webhook's call to the anomaly: request events as Apono publishes them, posted, scanned, and found."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from anomalies.models import AccessRequest, Anomaly, Principal, Scan
from anomalies.services import evidence, scans
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(minute=0, second=0, microsecond=0)  # what is old or lies ahead is refused
PEOPLE = {"max": {"id": "u-9", "name": "Max Weber", "email": "max@example.com"}}


def _event(
    kind: str,
    time: datetime,
    id_: str = "r-1",
    *,
    resource: str = "orders",
    permission: str = "read",
    tags: list[str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """An event of the contract, word for word."""
    unit = {
        "resource": {"id": f"id-{resource}", "name": resource, "path": f"db/{resource}", "type": "table"},
        "permission": {"id": f"id-{permission}", "name": permission},
    }
    if tags is not None:
        unit["resource"]["tags"] = tags  # type: ignore[assignment]  # our addition
    return {
        "event_type": f"AccessRequest{kind}",
        "event_time": time.timestamp(),
        "data": {
            "id": id_,
            "friendly_id": f"AR-{id_}",
            "requester": {"id": "u-1", "name": "Ana Lopez", "email": "ana@example.com"},
            "grantee": {"id": "u-1", "source_id": "okta", "name": "Ana Lopez", "type": "user"},
            "justification": "On call",
            "creation_date": time.timestamp(),
            "revocation_date": None,
            "access_flow": {"id": "f-1", "name": "Databases"},
            "access_bundle": {"id": "b-1", "name": "Bundle"},
            "access_duration_in_seconds": 3600,
            "access_groups": [
                {
                    "integration": {"id": "i-1", "type": "postgresql", "name": "Orders DB"},
                    "resource_types": [{"id": "table", "name": "Table", "display_path": "Table"}],
                    "access_units": [unit],
                }
            ],
            "approvals": [],
            "custom_fields": {},
            **fields,
        },
    }


def _decided(status: str) -> list[dict[str, Any]]:
    return [{"name": "Owners", "type": "user", "status": status, "approver": PEOPLE["max"]}]


def _found(call: Call, *events: dict[str, Any]) -> Anomaly:
    """Post each event in a call of its own, as a webhook does, and return the only anomaly that a scan finds."""
    for event in events:
        answer = call("POST", "/v1/events?format=apono&source=acme", json.dumps(event).encode())
        assert answer.status_code == 200, answer.content
    scans.run(now=NOW, trigger=Scan.Trigger.COMMAND)
    return Anomaly.objects.get()


def test_elevated_access_to_what_is_sensitive(call: Call) -> None:
    anomaly = _found(call, _event("Created", NOW - timedelta(hours=1), permission="Full Access", tags=["env=prod"]))
    assert (anomaly.type, anomaly.kind, anomaly.entity) == ("request_high_risk_access", "principal", "ana@example.com")
    assert (anomaly.integration, anomaly.resource, anomaly.resource_type) == ("Orders DB", "orders", "table")
    assert (anomaly.evidence["request_id"], anomaly.evidence["access_flow"]) == ("r-1", "f-1")
    assert (anomaly.agent_id, anomaly.principal_id) == ("acme:apono", "ana@example.com")
    assert [event.action for event in evidence.events_behind(anomaly)] == ["access_request.created"]
    assert Principal.objects.get(public_id="ana@example.com").name == "Ana Lopez"


def test_an_approval_after_a_rejection_by_a_person(call: Call) -> None:
    start = NOW - timedelta(days=20)
    anomaly = _found(
        call,
        _event("Created", start),
        _event("Rejected", start + timedelta(hours=1), approvals=_decided("rejected")),
        _event("Created", NOW - timedelta(hours=3), "r-2", permission="write"),
        _event("Approved", NOW - timedelta(hours=2), "r-2", permission="write", approvals=_decided("approved")),
    )
    assert (anomaly.type, anomaly.topic) == ("approved_after_rejected", "r-2")
    assert anomaly.evidence["rejected_request_id"] == "r-1"
    assert anomaly.evidence["approved_by"] == anomaly.evidence["rejected_by"] == "Max Weber"
    assert AccessRequest.objects.get(public_id="r-1").status == "rejected"


def test_a_user_who_had_not_asked_for_months(call: Call) -> None:
    anomaly = _found(
        call, _event("Created", NOW - timedelta(days=99), "r-0"), _event("Created", NOW - timedelta(hours=1))
    )
    assert (anomaly.type, anomaly.severity) == ("inactive_user", 2)
    assert anomaly.description == "AR-r-1: first request in 98 days"


def test_code_that_asks_again_and_again(call: Call) -> None:
    start = NOW - timedelta(hours=2)
    anomaly = _found(call, *(_event("Created", start + n * timedelta(minutes=10), f"r-{n}") for n in range(6)))
    assert (anomaly.type, anomaly.severity) == ("access_automation", 2)
    assert anomaly.evidence["request_ids"] == [f"r-{n}" for n in range(6)]
    assert evidence.events_behind(anomaly).count() == 6


def test_what_is_usual_raises_nothing(call: Call) -> None:
    start = NOW - timedelta(hours=5)
    with pytest.raises(Anomaly.DoesNotExist):
        _found(
            call,
            _event("Created", start),
            _event("Approved", start + timedelta(minutes=5), approvals=_decided("approved")),
            _event("Granted", start + timedelta(minutes=6), approvals=_decided("approved")),
            _event("Expired", start + timedelta(hours=1), approvals=_decided("approved")),
        )
    assert AccessRequest.objects.get().status == "expired"

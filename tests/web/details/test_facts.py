"""web/facts: what an anomaly is about, at a glance."""

import re
from datetime import timedelta

import pytest
from django.test import Client

from anomalies.models import AccessFlow, AccessRequest, Grant
from tests import make
from tests.web.details.test_panel import path, words

pytestmark = pytest.mark.django_db


def fact(page: str, label: str) -> str:
    """The values of one fact, in words."""
    found = re.search(rf"<dt>{label}</dt><dd>(.*?)</dd>", page, re.DOTALL)
    return words(found[1]) if found else ""


def test_a_suspicious_login_names_where_it_came_from(as_ana: Client) -> None:
    found = {
        "countries": ["DE", "VN"],
        "places": ["Berlin, DE", "Hanoi, VN"],
        "addresses": ["198.51.100.7", "203.0.113.9"],
        "devices": ["Firefox"],
    }
    anomaly = make.anomaly(type="suspicious_login", evidence={**make.EVIDENCE, **found})
    make.event(time=make.NOW - timedelta(minutes=1), ip="203.0.113.9")
    page = as_ana.get(path(anomaly)).text
    assert fact(page, "Countries") == "DE · VN"
    assert fact(page, "Places") == "Berlin, DE · Hanoi, VN"
    assert fact(page, "Addresses") == "203.0.113.9 \N{MULTIPLICATION SIGN}1 · 198.51.100.7"
    assert fact(page, "Devices") == "Firefox"


def test_requests_that_events_name_are_called_as_people_call_them(as_ana: Client) -> None:
    AccessRequest.objects.create(
        public_id="req_1",
        friendly_id="AR-2041",
        source=make.source(),
        requester=make.principal("user_7"),
        requested_at=make.NOW,
        known_at=make.NOW,
        updated_at=make.NOW,
    )
    anomaly = make.anomaly()
    for request in ("req_1", "req_1", "other-request"):
        make.event(time=make.NOW - timedelta(minutes=1), request_id=request)
    assert (
        fact(as_ana.get(path(anomaly)).text, "Request ID")
        == "AR-2041 \N{MULTIPLICATION SIGN}2 · other-request \N{MULTIPLICATION SIGN}1"
    )


def test_an_access_anomaly_names_its_request_its_flow_and_what_for(as_ana: Client) -> None:
    flow = AccessFlow.objects.create(public_id="flow_1", name="Billing, production read")
    AccessRequest.objects.create(
        public_id="req_1",
        friendly_id="AR-2041",
        source=make.source(),
        requester=make.principal("user_7"),
        flow=flow,
        status="active",
        requested_at=make.NOW,
        known_at=make.NOW,
        updated_at=make.NOW,
    )
    unit = {"integration": "postgres", "resource": "customers", "resource_type": "db", "permission": "admin"}
    found = {
        "request_id": "req_1",
        "request_name": "AR-2041",
        "access_flow": "flow_1",
        "units": [{**unit, "tags": []}],
        "event_count": 3,
    }
    anomaly = make.anomaly(
        type="access_automation", kind="principal", entity="user_7", evidence={**make.EVIDENCE, **found}
    )
    grant = Grant.objects.create(
        public_id="grnt_7", request_id="req_1", issued_at=make.NOW, expires_at=make.NOW + timedelta(hours=1)
    )
    page = as_ana.get(path(anomaly)).text
    assert fact(page, "Request ID") == "AR-2041 active and 2 more"
    assert fact(page, "Grant") == "grnt_7 active since 20 Nov 12:00 UTC until 20 Nov 13:00 UTC"
    grant.status, grant.revoked_at, grant.revoked_by = "revoked", make.NOW, "ana"
    grant.save()
    assert fact(as_ana.get(path(anomaly)).text, "Grant") == "grnt_7 revoked 20 Nov 12:00 UTC by ana"
    assert fact(page, "Access flow") == "Billing, production read"
    assert fact(page, "Asked for") == "admin on customers"
    gone = {**make.EVIDENCE, **found, "request_id": "req_9", "request_name": "AR-9", "access_flow": "flow_9"}
    page = as_ana.get(path(make.anomaly(type="inactive_user", evidence=gone))).text
    assert (fact(page, "Request ID"), fact(page, "Access flow")) == ("AR-9 and 2 more", "flow_9")


def test_a_custom_rule_names_the_rule_and_its_limit(as_ana: Client) -> None:
    found = {
        "rule": "rule_1",
        "rule_name": "Bulk export",
        "scopes": ["files:read"],
        "parameters": {"window_seconds": 300, "threshold": 50},
    }
    page = as_ana.get(path(make.anomaly(type="custom_rule", evidence={**make.EVIDENCE, **found}))).text
    assert fact(page, "Rule") == "Bulk export rule_1"
    assert fact(page, "Limit") == "50 events or more in 5 minutes"
    assert fact(page, "Scopes") == "files:read"


def test_partners_that_nobody_listed_are_counted(as_ana: Client) -> None:
    found = {"users_tried": [f"user_{n}" for n in range(100)], "partner_count": 240}
    page = as_ana.get(path(make.anomaly(type="high_failure_rate", evidence={**make.EVIDENCE, **found}))).text
    assert fact(page, "Users").endswith("and 235 more")

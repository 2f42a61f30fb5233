"""services/ocsf: what OCSF 1.5.0 asks of a Detection Finding, and what of ours stands where."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from anomalies.models import Anomaly, Severity, Suppression
from anomalies.services import ocsf
from tests import make
from tests.services.ocsf_schema import complaints

pytestmark = pytest.mark.django_db


def full(**fields: Any) -> Anomaly:
    return make.anomaly(
        **{
            "principal": make.principal("user_7"),
            "ip": "10.2.0.14",
            "countries": ["DE"],
            "integration": "okta",
            "platforms": ["okta", "sso"],
            "resource": "payroll",
            "resource_type": "database",
            **fields,
        }
    )


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("fields", [{}, {"evidence": {}, "countries": ["DE", "FR"], "ip": None, "resource": ""}])
def test_it_has_what_the_schema_asks_for_and_nothing_else(severity: Severity, fields: dict[str, Any]) -> None:
    for one in (full(severity=severity, **fields), make.anomaly(severity=severity)):
        assert complaints(ocsf.as_it_is(one)) == []


def test_what_of_ours_stands_where(ana: User) -> None:
    anomaly = full(title="The sync", assignee=ana)
    told = ocsf.as_it_is(anomaly)
    millisecond = int(make.NOW.timestamp() * 1000)
    assert (told["class_uid"], told["type_uid"], told["activity_name"]) == (2004, 200401, "Create")
    assert (told["severity_id"], told["severity"], told["confidence_score"]) == (4, "High", 94)
    assert (told["time"], told["start_time"], told["end_time"]) == (millisecond, millisecond - 300_000, millisecond)
    assert told["metadata"]["version"] == "1.5.0"
    assert told["finding_info"]["uid"] == anomaly.public_id
    assert told["finding_info"]["title"] == "The sync"
    assert told["finding_info"]["desc"] == anomaly.evidence["why"]
    assert told["finding_info"]["types"] == ["Rate spike"]
    assert told["finding_info"]["analytic"] == {
        "uid": "rate_spike", "name": "Rate spike", "type_id": 3, "type": "Statistical", "version": "1"
    }  # fmt: skip
    assert told["finding_info"]["src_url"].endswith(f"/anomalies/{anomaly.public_id}/")
    assert told["assignee"] == {"name": "ana"}
    assert told["evidences"] == [
        {
            "actor": {"app_uid": "ag_billing", "user": {"uid": "user_7"}},
            "src_endpoint": {"ip": "10.2.0.14", "location": {"country": "DE"}},
            "data": anomaly.evidence,
        }
    ]
    assert told["resources"] == [{"name": "payroll", "type": "database"}, {"name": "okta", "type": "integration"}]


def _suppression() -> Suppression:
    return Suppression.objects.create(reason="known", owner="ana")


@pytest.mark.parametrize(
    ("fields", "status", "activity"),
    [
        ({}, (1, "New", "open"), "Create"),
        ({"updated_at": make.NOW + timedelta(hours=1)}, (1, "New", "open"), "Update"),
        ({"state": "closed", "ended_at": make.NOW}, (1, "New", "open"), "Create"),
        ({"status": "acknowledged", "acknowledged_at": make.NOW}, (2, "In Progress", "acknowledged"), "Update"),
        ({"snoozed_until": make.NOW}, (2, "In Progress", "snoozed"), "Update"),
        ({"status": "resolved", "resolved_at": make.NOW}, (4, "Resolved", "resolved"), "Close"),
        ({"state": "withdrawn", "ended_at": make.NOW}, (4, "Resolved", "withdrawn"), "Close"),
    ],
)
def test_what_became_of_it(fields: dict[str, Any], status: tuple[Any, ...], activity: str) -> None:
    told = ocsf.as_it_is(make.anomaly(**fields))
    assert (told["status_id"], told["status"], told["status_detail"]) == status
    assert told["activity_name"] == activity
    assert told["is_alert"] == (activity == "Create")
    assert complaints(told) == []


def test_what_is_suppressed_and_what_is_part_of_another() -> None:
    whole = make.anomaly()
    hidden = ocsf.as_it_is(make.anomaly(suppression=_suppression()))
    part = ocsf.as_it_is(make.anomaly(merged_into=whole, state="closed", ended_at=make.NOW))
    assert (hidden["status"], hidden["activity_name"]) == ("Suppressed", "Update")
    assert (part["status"], part["status_detail"], part["verdict"]) == ("Resolved", "merged", "Duplicate")
    assert part["activity_name"] == "Close"


@pytest.mark.parametrize("verdict", Anomaly.Verdict)
def test_each_verdict_has_a_word_there(verdict: str) -> None:
    told = ocsf.as_it_is(make.anomaly(status="resolved", resolved_at=make.NOW, verdict=verdict, reason="a drill"))
    assert told["verdict_id"] in range(1, 11)
    assert told["verdict"].lower().replace(" ", "_") == verdict
    assert told["comment"] == "a drill"

"""api/grantex_v1/alerts: list, one, acknowledge, resolve."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from anomalies.models import Anomaly, OutboxMessage, ReviewEntry, Severity
from anomalies.services import merging, reviews
from anomalies.services.actor import Actor
from tests import make
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import alert, error

pytestmark = pytest.mark.django_db

ANA = Actor(name="ana")
LIST = "/v1/anomaly/alerts"
MINUTE = timedelta(minutes=1)


def listed(call: Call, query: str = "") -> list[str]:
    answer = call("GET", f"{LIST}?{query}")
    assert answer.status_code == 200, answer.content
    return [each["alertId"] for each in answer.json()["data"]]


def of_rule(**fields: Any) -> Anomaly:
    evidence = {**make.EVIDENCE, "rule": "night_exports", "rule_name": "Night exports", "scopes": []}
    return make.anomaly(type="custom_rule", topic="night_exports", evidence=evidence, **fields)


def test_the_list_is_as_documented(call: Call) -> None:
    older = make.anomaly(grant_id="grnt_1")
    newer = of_rule(
        detected_at=make.NOW + MINUTE,
        severity=Severity.LOW,
        agent=make.agent("ag_2"),
        principal=make.principal("user_1"),
        snoozed_until=make.NOW + timedelta(days=1),
    )
    answer = call("GET", LIST)
    assert answer.status_code == 200
    wanted = alert(
        newer,
        ruleId="night_exports",
        ruleName="Night exports",
        severity="low",
        agentId="ag_2",
        detectedAt="2026-11-20T12:01:00.000Z",
    )
    wanted["context"] |= {
        "evidence": newer.evidence,
        "principalId": "user_1",
        "type": "custom_rule",
        "snoozedUntil": "2026-11-21T12:00:00.000Z",
    }
    first = alert(older)
    first["context"]["grantId"] = "grnt_1"
    assert answer.json() == {"data": [wanted, first]}
    assert list(answer.json()["data"][0]) == [
        "alertId", "ruleId", "ruleName", "severity", "status", "agentId", "detectedAt", "description", "context",
        "acknowledgedAt", "resolvedAt",
    ]  # fmt: skip


def test_an_empty_list_is_as_documented(call: Call) -> None:
    assert call("GET", LIST).json() == {"data": []}


def test_one_alert_is_as_documented(call: Call) -> None:
    one = make.anomaly()
    assert call("GET", f"{LIST}/{one.public_id}").json() == alert(one)


def test_what_a_detector_of_the_past_found_has_no_rule(call: Call) -> None:
    one = make.anomaly(type="bulk_access")
    told = call("GET", f"{LIST}/{one.public_id}").json()
    assert (told["ruleId"], told["ruleName"]) == (None, "bulk_access")


@pytest.mark.parametrize("path_id", ["anom_unknown", "anom%2F1", "%00", "x" * 500])
@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("POST", "/acknowledge"), ("POST", "/resolve")])
def test_an_unknown_id_is_404(call: Call, path_id: str, method: str, rest: str) -> None:
    assert "no alert" in error(call(method, f"{LIST}/{path_id}{rest}"), 404, "NOT_FOUND")


def test_filters_say_what_the_answers_do(call: Call) -> None:
    ids = {}
    for number, (status, severity) in enumerate(
        [("open", 3), ("acknowledged", 3), ("resolved", 2), ("open", 1), ("resolved", 1)]
    ):
        agent, at = make.agent(f"ag_{number % 2}"), make.NOW - number * MINUTE
        one = make.anomaly(severity=severity, agent=agent, detected_at=at)
        if status != "open":
            reviews.acknowledge(one, by=ANA, at=make.NOW)
        if status == "resolved":
            reviews.resolve(one, verdict="benign", by=ANA, at=make.NOW)
        ids[number] = one.public_id
    for query, wanted in {
        "": [0, 1, 2, 3, 4],
        "status=open": [0, 3],
        "status=acknowledged": [1],
        "status=resolved": [2, 4],
        "severity=high": [0, 1],
        "severity=critical": [],
        "agentId=ag_1": [1, 3],
        "agentId=nobody": [],
        "status=open&severity=low&agentId=ag_1": [3],
        "limit=2": [0, 1],
        "limit=1000": [0, 1, 2, 3, 4],
    }.items():
        assert listed(call, query) == [ids[number] for number in wanted], query


def test_parts_of_others_are_not_listed_and_lead_to_the_whole(call: Call) -> None:
    whole, part = make.anomaly(), make.anomaly(kind="principal", entity="user_1")
    merging.merge(part, into=whole, scan=make.scan())
    assert listed(call) == [whole.public_id]
    assert call("GET", f"{LIST}/{part.public_id}").json()["alertId"] == whole.public_id


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=closed", "status: Input should be 'open', 'acknowledged' or 'resolved'."),
        ("status=", "status: "),
        ("severity=panic", "severity: Input should be"),
        ("limit=0", "limit: Input should be greater than or equal to 1."),
        ("limit=1001", "limit: Input should be less than or equal to 1000."),
        ("limit=many", "limit: "),
        ("agentId=", "agentId: "),
        ("agentId=a%00", "agentId: it contains a NUL character, which cannot be stored."),
        ("agent_id=ag_1", "agent_id: there is no such parameter, only status, severity, agentId, limit."),
        ("status=open&status=resolved", "status: it is there 2 times."),
    ],
)
def test_a_bad_value_is_400_naming_its_parameter(call: Call, query: str, said: str) -> None:
    assert error(call("GET", f"{LIST}?{query}"), 400, "BAD_REQUEST").startswith(said)


def test_the_list_takes_as_many_queries_for_a_hundred_as_for_one(
    call: Call, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    call("GET", LIST)  # notes that the key is used
    for number in range(120):
        make.anomaly(detected_at=make.NOW - number * MINUTE)
    with django_assert_num_queries(2):  # the key, the alerts
        assert len(listed(call)) == 100


def test_acknowledge_answers_the_whole_alert(call: Call) -> None:
    one = make.anomaly()
    answer = call("POST", f"{LIST}/{one.public_id}/acknowledge", {"note": "Looking into it"})
    at = answer.json()["acknowledgedAt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    assert (answer.status_code, answer.json()) == (200, alert(one, status="acknowledged", acknowledgedAt=at))
    entry = ReviewEntry.objects.get()
    assert (entry.actor, entry.note, entry.action) == ("ci", "Looking into it", "acknowledged")


def test_resolve_answers_the_whole_alert_and_acknowledges_it(call: Call) -> None:
    one = make.anomaly()
    answer = call("POST", f"{LIST}/{one.public_id}/resolve", {"note": "False positive", "verdict": "false_positive"})
    told = answer.json()
    wanted = alert(one, status="resolved", acknowledgedAt=told["resolvedAt"], resolvedAt=told["resolvedAt"])
    wanted["context"]["verdict"] = "false_positive"
    assert (answer.status_code, told) == (200, wanted)
    one.refresh_from_db()
    assert (one.reason, one.resolved_by) == ("False positive", "ci")


def test_resolved_without_a_verdict_is_benign(call: Call) -> None:
    one = make.anomaly()
    assert call("POST", f"{LIST}/{one.public_id}/resolve").json()["context"]["verdict"] == "benign"


@pytest.mark.parametrize("verb", ["acknowledge", "resolve"])
@pytest.mark.parametrize("body", [b"", {}, {"note": "mine"}, {"note": None}])
def test_a_call_that_is_repeated_changes_nothing(call: Call, verb: str, body: object) -> None:
    path = f"{LIST}/{make.anomaly().public_id}/{verb}"
    first, second = call("POST", path, body), call("POST", path, body)
    assert (second.status_code, second.json()) == (200, first.json())
    assert (ReviewEntry.objects.count(), OutboxMessage.objects.count()) == (1, 1)


def test_what_is_resolved_stays_so_and_new_notes_are_kept(call: Call) -> None:
    path = f"{LIST}/{make.anomaly().public_id}"
    first = call("POST", f"{path}/resolve", {"note": "Known job"}).json()
    assert call("POST", f"{path}/acknowledge", {"note": "late"}).json() == first
    assert call("POST", f"{path}/resolve", {"note": "late", "verdict": "test"}).json() == first
    entries = ReviewEntry.objects.order_by("id").values_list("action", "note")
    assert list(entries) == [("resolved", "Known job"), ("noted", "late")]


@pytest.mark.parametrize(
    ("verb", "body", "said"),
    [
        ("acknowledge", {"note": "x" * 10_001}, "note: String should have at most 10000 characters."),
        ("acknowledge", {"note": 5}, "note: Input should be a valid string."),
        ("resolve", {"note": "a\x00b"}, "note: it contains a NUL character, which cannot be stored."),
        ("acknowledge", {"notes": "as anomalies have it"}, "notes: Extra inputs are not permitted."),
        ("acknowledge", {"verdict": "benign"}, "verdict: Extra inputs are not permitted."),
        ("resolve", {"notes": "as anomalies have it"}, "notes: Extra inputs are not permitted."),
        ("resolve", {"verdict": "guilty"}, "verdict: Input should be"),
        ("resolve", b"[]", "body: it is no JSON object."),
    ],
)
def test_a_bad_body_is_400_naming_the_field(call: Call, verb: str, body: object, said: str) -> None:
    answer = call("POST", f"{LIST}/{make.anomaly().public_id}/{verb}", body)
    assert error(answer, 400, "BAD_REQUEST").startswith(said)
    assert Anomaly.objects.get().status == "open"


def test_the_window_of_metrics_ends_now_and_has_each_of_its_days(call: Call) -> None:
    now = timezone.now()
    whole = make.anomaly(detected_at=now - timedelta(minutes=1))
    make.anomaly(detected_at=now - timedelta(days=3), severity=Severity.LOW, type="rate_drop", agent=make.agent("ag_2"))
    make.anomaly(detected_at=now - timedelta(days=8))
    merging.merge(make.anomaly(detected_at=now, kind="principal", entity="user_1"), into=whole, scan=make.scan())
    reviews.acknowledge(whole, by=ANA, at=now)
    day = timezone.now().date()  # in UTC, as the tests run
    wanted = [{"date": str(day - timedelta(days=number)), "count": {0: 1, 3: 1}.get(number, 0)} for number in range(8)]
    assert call("GET", "/v1/anomaly/metrics?window=7d").json() == {
        "window": "7d",
        "total": 2,
        "byStatus": {"open": 1, "acknowledged": 1, "resolved": 0},
        "bySeverity": {"critical": 0, "high": 1, "medium": 0, "low": 1},
        "byType": {"rate_drop": 1, "rate_spike": 1},
        "recentActivity": wanted[::-1],
    }
    assert call("GET", "/v1/anomaly/metrics?window=30d").json()["total"] == 3
    of_one = call("GET", "/v1/anomaly/metrics?window=7d&agentId=ag_2").json()
    assert (of_one["total"], of_one["byType"]) == (1, {"rate_drop": 1})


def test_metrics_of_nothing_are_all_there(call: Call) -> None:
    told = call("GET", "/v1/anomaly/metrics?agentId=nobody").json()
    assert (told["window"], told["total"], told["byType"]) == ("24h", 0, {})
    assert told["byStatus"] == {"open": 0, "acknowledged": 0, "resolved": 0}
    assert [each["count"] for each in told["recentActivity"]] == [0, 0]


def test_metrics_are_one_query(call: Call, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    call("GET", "/v1/anomaly/metrics")
    with django_assert_num_queries(2):  # the key, the counts
        call("GET", "/v1/anomaly/metrics?window=30d&agentId=ag_1")


@pytest.mark.parametrize(
    "query", ["window=99h", "window=", "agentId=", "agentId=a%00", "agent=ag_1", "window=1h&window=6h"]
)
def test_bad_metrics_are_400_naming_the_parameter(call: Call, query: str) -> None:
    said = error(call("GET", f"/v1/anomaly/metrics?{query}"), 400, "BAD_REQUEST")
    assert said.startswith(f"{query.partition('=')[0]}: ")

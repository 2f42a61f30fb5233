"""api/grantex_v1: the contract over plain HTTP."""

import json
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from anomalies.api.grantex_v1 import agents as agents_api
from anomalies.models import Agent, Anomaly, AuditEntry, Event, Grant, OutboxMessage, ReviewEntry, Scan
from anomalies.services import access, reviews, scans
from anomalies.services.actor import Actor
from tests import make
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

ENTRY = {
    "agentId": "ag_billing",
    "agentDid": "did:grantex:ag_billing",
    "grantId": "grnt_1",
    "principalId": "user_1",
    "action": "invoice.read",
}


def _error(answer: Any, status: int, code: str) -> str:
    """Check that the answer is an error in the contract's form, and return what it says."""
    assert answer.status_code == status, answer.content
    assert answer["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["message", "code", "requestId"]
    assert body["code"] == code
    assert str(uuid.UUID(body["requestId"])) == answer["x-request-id"]
    assert body["message"].endswith(".")
    return str(body["message"])


# Who may call


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer gx_live_wrong", "Basic Z3g6eA==", "Bearer ü\x00"]
)
def test_a_missing_or_wrong_key_is_401(call: Call, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = call("GET", "/v1/anomalies", key=None, **headers)
    _error(answer, 401, "UNAUTHORIZED")
    assert answer["www-authenticate"] == "Bearer"


def test_an_expired_key_is_401(call: Call) -> None:
    from anomalies.services import api_keys

    expired = api_keys.create(name="old", scopes=["read"], expires_at=timezone.now() - timedelta(days=1))[1]
    assert "expired" in _error(call("GET", "/v1/anomalies", key=expired), 401, "UNAUTHORIZED")


SCOPES = [
    ("GET", "/v1/anomalies", "read"),
    ("POST", "/v1/anomalies/detect", "review"),
    ("PATCH", "/v1/anomalies/anom_1/acknowledge", "review"),
    ("POST", "/v1/anomalies/anom_1/acknowledge", "review"),
    ("GET", "/v1/irregularities/response-policy", "read"),
    ("PATCH", "/v1/irregularities/response-policy", "review"),
    ("GET", "/v1/events/stream", "read"),
    ("POST", "/v1/audit/log", "ingest"),
    ("GET", "/v1/audit/entries", "read"),
    ("GET", "/v1/audit/alog_1", "read"),
    ("GET", "/v1/agents", "read"),
    ("POST", "/v1/agents", "review"),
    ("GET", "/v1/agents/ag_1", "read"),
    ("PATCH", "/v1/agents/ag_1", "review"),
    ("POST", "/v1/agents/ag_1", "review"),
    ("DELETE", "/v1/agents/ag_1", "review"),
]


@pytest.mark.parametrize(("method", "path", "scope"), SCOPES)
def test_a_key_without_the_scope_is_403_naming_it(call: Call, method: str, path: str, scope: str) -> None:
    others = sorted({"ingest", "read", "review"} - {scope})
    weak = make.api_key(*others, name="weak")
    message = _error(call(method, path, key=weak), 403, "FORBIDDEN")
    assert message == f"The key weak lacks the scope {scope}; it has {', '.join(others)}."


@pytest.mark.parametrize(("method", "path", "scope"), SCOPES)
def test_every_call_needs_a_key(call: Call, method: str, path: str, scope: str) -> None:
    _error(call(method, path, key=None), 401, "UNAUTHORIZED")


# The form of answers


def test_every_answer_has_a_request_id_and_no_rate_headers(call: Call) -> None:
    for answer in (call("GET", "/v1/anomalies"), call("DELETE", f"/v1/agents/{make.agent().public_id}")):
        assert uuid.UUID(answer["x-request-id"])
        assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/anomalies/", "/v1/webhooks/wh_1", "/v1/audit", "/v1/%00"])
def test_an_unknown_path_is_404_as_json(call: Call, path: str) -> None:
    assert "There is nothing at /v1/" in _error(call("GET", path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/v1/anomalies"), ("GET", "/v1/anomalies/detect"), ("DELETE", "/v1/audit/alog_1")]
)
def test_a_wrong_method_is_405_as_json(call: Call, method: str, path: str) -> None:
    if path == "/v1/anomalies/detect":
        make.anomaly()
    answer = call(method, path)
    assert method in _error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer["allow"]


def test_an_error_of_ours_is_500_as_json_and_logged(
    call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(agent: Agent) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(agents_api, "to_wire", fail)
    make.agent()
    answer = call("GET", "/v1/agents")
    message = _error(answer, 500, "INTERNAL_ERROR")
    assert "broken" not in message
    assert answer["x-request-id"] in caplog.text
    assert "RuntimeError: broken" in caplog.text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "body: Input data was truncated."),
        (b"nonsense", "body: JSON is malformed"),
        (b'{"notes": "\xff"}', "body: "),
        (b'{"notes": "\\ud800"}', "body: "),
        (b'{"notes": NaN}', "body: JSON is malformed"),
        (b'{"n": 1e999}', "body: Number out of range"),
        (b'{"n": ' + b"9" * 5000 + b"}", "body: Integer value out of range"),
        (b"[" * 100_000, "body: it is nested too deep."),
        (b"[]", "body: it is no JSON object."),
        (b'"text"', "body: it is no JSON object."),
    ],
)
def test_a_body_that_is_no_json_is_400(call: Call, body: bytes, said: str) -> None:
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    assert _error(call("PATCH", path, body), 400, "BAD_REQUEST").startswith(said)
    assert Anomaly.objects.get().status == "open"


@pytest.mark.parametrize("body", [b"", b"{}", b"null"])
@pytest.mark.parametrize("content_type", ["application/json", "", "text/plain"])
def test_no_body_or_an_empty_one_is_fine(key: str, body: bytes, content_type: str) -> None:
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    client = Client(headers={"authorization": f"Bearer {key}"})
    assert client.generic("PATCH", path, body, content_type=content_type).status_code == 200
    assert client.generic("POST", "/v1/anomalies/detect", body, content_type=content_type).status_code == 200


def test_a_body_over_the_limit_is_413(call: Call, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    assert "body: " in _error(call("PATCH", path, {"notes": "x" * 200}), 413, "PAYLOAD_TOO_LARGE")


def test_no_call_needs_a_csrf_token(key: str) -> None:
    client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {key}"})
    assert client.post("/v1/anomalies/detect").status_code == 200


# Anomalies


def _golden(anomaly: Anomaly, **changes: Any) -> dict[str, Any]:
    return {
        "id": anomaly.public_id,
        "type": "rate_spike",
        "severity": "high",
        "agentId": "ag_billing",
        "principalId": None,
        "description": "412 requests in 5 minutes, 38 expected",
        "metadata": {**make.EVIDENCE, "state": "open", "status": "open", "score": 0.94},
        "detectedAt": "2026-11-20T12:00:00.000Z",
        "acknowledgedAt": None,
        **changes,
    }


def test_the_list_is_as_documented(call: Call) -> None:
    older = make.anomaly(detected_at=make.NOW)
    newer = make.anomaly(detected_at=make.NOW + timedelta(minutes=1, milliseconds=5), agent=make.agent("ag_2"))
    answer = call("GET", "/v1/anomalies")
    assert answer.status_code == 200
    assert answer["content-type"] == "application/json"
    assert answer.json() == {
        "anomalies": [_golden(newer, agentId="ag_2", detectedAt="2026-11-20T12:01:00.005Z"), _golden(older)],
        "total": 2,
    }
    assert list(answer.json()["anomalies"][0]) == [
        "id", "type", "severity", "agentId", "principalId", "description", "metadata", "detectedAt", "acknowledgedAt",
    ]  # fmt: skip


def test_an_empty_list_is_as_documented(call: Call) -> None:
    assert call("GET", "/v1/anomalies").json() == {"anomalies": [], "total": 0}


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("unacknowledged=true", 1),
        ("unacknowledged=True", 2),
        ("unacknowledged=1", 2),
        ("unacknowledged=false", 2),
        ("unacknowledged=", 2),
        ("", 2),
        ("unacknowledged=%00", 2),
        ("other=true", 2),
    ],
)
def test_only_the_exact_value_true_filters(call: Call, query: str, total: int) -> None:
    make.anomaly()
    reviews.acknowledge(make.anomaly(), by=Actor(name="ana"), at=make.NOW)
    assert call("GET", f"/v1/anomalies?{query}").json()["total"] == total


def test_the_list_costs_the_same_queries_for_any_length(call: Call, django_assert_num_queries: Any) -> None:
    call("GET", "/v1/anomalies")  # notes that the key was used
    for number in range(30):
        make.anomaly(agent=make.agent(f"ag_{number}"))
    with django_assert_num_queries(2):  # the key, the anomalies
        assert call("GET", "/v1/anomalies").json()["total"] == 30


def test_acknowledge_answers_the_anomaly_and_names_the_key(call: Call) -> None:
    anomaly = make.anomaly()
    answer = call("PATCH", f"/v1/anomalies/{anomaly.public_id}/acknowledge", {"notes": "nightly sync"})
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.acknowledged_by) == ("acknowledged", "ci")
    entry = ReviewEntry.objects.get()
    assert (entry.actor, entry.note) == ("ci", "nightly sync")
    at = answer.json()["acknowledgedAt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    golden = _golden(anomaly, acknowledgedAt=at)
    golden["metadata"]["status"] = "acknowledged"
    assert answer.json() == golden


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_acknowledge_again_answers_200_and_changes_nothing(call: Call, method: str) -> None:
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    first = call(method, path, {"notes": "mine"})
    second = call(method, path, {"notes": "mine"})
    assert (second.status_code, second.json()) == (200, first.json())
    assert ReviewEntry.objects.count() == 1
    assert OutboxMessage.objects.count() == 1


def test_new_notes_of_a_second_acknowledgement_are_kept(call: Call) -> None:
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    for notes in ("first", "second", "second"):
        assert call("POST", path, {"notes": notes}).status_code == 200
    entries = ReviewEntry.objects.order_by("id").values_list("action", "note")
    assert list(entries) == [("acknowledged", "first"), ("noted", "second")]


@pytest.mark.parametrize("path_id", ["anom_unknown", "anom%2F1", "%00", "anom_%ff", "x" * 500])
def test_acknowledging_an_unknown_id_is_404(call: Call, path_id: str) -> None:
    assert "no anomaly" in _error(call("PATCH", f"/v1/anomalies/{path_id}/acknowledge"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"notes": "x" * 10_001}, "notes: String should have at most 10000 characters."),
        ({"notes": 5}, "notes: Input should be a valid string."),
        ({"notes": {"a": 1}}, "notes: Input should be a valid string."),
        ({"notes": "a\x00b"}, "notes: it contains a NUL character, which cannot be stored."),
    ],
)
def test_bad_notes_are_422_naming_the_field(call: Call, body: object, said: str) -> None:
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    assert _error(call("PATCH", path, body), 422, "VALIDATION_ERROR").startswith(said)
    assert Anomaly.objects.get().status == "open"


def test_percent_encoded_ids_are_decoded(call: Call) -> None:
    make.agent("team/agent one")
    assert call("GET", "/v1/agents/team%2Fagent%20one").json()["agentId"] == "team/agent one"
    anomaly = make.anomaly()
    encoded = anomaly.public_id.replace("_", "%5F")
    assert call("PATCH", f"/v1/anomalies/{encoded}/acknowledge").json()["id"] == anomaly.public_id


# Detection


@pytest.fixture
def scan_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that raises one spike, the first time; what scans find is tested with them."""

    def run(*, now: Any, trigger: str) -> Scan:
        scan = make.scan(now=now, trigger=trigger)
        if not Anomaly.objects.filter(fingerprint="spike").exists():
            make.anomaly(fingerprint="spike", scan=scan, detected_at=now, started_at=now - timedelta(minutes=5))
        return scan

    monkeypatch.setattr(scans, "run", run)


def test_detect_answers_as_documented(call: Call, scan_raises: None) -> None:
    answer = call("POST", "/v1/anomalies/detect", {}).json()
    assert list(answer) == ["detectedAt", "total", "autoRevokedGrants", "responseMode", "anomalies"]
    scan = Scan.objects.get()
    assert scan.trigger == "api"
    assert (answer["total"], answer["autoRevokedGrants"], answer["responseMode"]) == (1, 0, "alert_only")
    assert answer["anomalies"][0]["detectedAt"] == answer["detectedAt"]
    assert answer["anomalies"] == [_golden(Anomaly.objects.get(), detectedAt=answer["detectedAt"])]


def test_detect_twice_gives_the_same_ids_and_the_acknowledged_stays_so(call: Call, scan_raises: None) -> None:
    first = call("POST", "/v1/anomalies/detect", {}).json()["anomalies"]
    acknowledged = call("PATCH", f"/v1/anomalies/{first[0]['id']}/acknowledge", {}).json()
    second = call("POST", "/v1/anomalies/detect", {}).json()["anomalies"]
    assert second == [acknowledged]


def test_detect_answers_what_holds_newest_first(call: Call) -> None:
    now = timezone.now()
    old = now - timedelta(days=9)
    lasting = make.anomaly(detected_at=old, started_at=old)
    over = make.anomaly(detected_at=old, started_at=old, updated_at=old, state="closed", ended_at=old)
    just_over = make.anomaly(detected_at=now - timedelta(hours=5), state="closed", ended_at=now - timedelta(hours=3))
    listed = [each["id"] for each in call("POST", "/v1/anomalies/detect").json()["anomalies"]]
    assert listed == [just_over.public_id, lasting.public_id]
    assert over.public_id not in listed


def test_revoke_mode_revokes_and_counts(call: Call, scan_raises: None) -> None:
    make.grant()
    assert call("PATCH", "/v1/irregularities/response-policy", {"mode": "revoke_agent_grants"}).status_code == 200
    answers = [call("POST", "/v1/anomalies/detect", {}).json() for _ in range(2)]
    assert [answer["autoRevokedGrants"] for answer in answers] == [1, 0]
    assert answers[0]["responseMode"] == "revoke_agent_grants"
    assert (Grant.objects.get().status, Grant.objects.get().revoked_by) == ("revoked", "ci")


def test_alert_only_revokes_nothing(call: Call, scan_raises: None) -> None:
    make.grant()
    assert call("POST", "/v1/anomalies/detect", {}).json()["autoRevokedGrants"] == 0
    assert Grant.objects.get().status == "active"


# Response policy


def test_the_response_policy_starts_at_alert_only_and_can_be_set(call: Call) -> None:
    path = "/v1/irregularities/response-policy"
    assert call("GET", path).json() == {"mode": "alert_only"}
    assert call("PATCH", path, {"mode": "revoke_agent_grants"}).json() == {"mode": "revoke_agent_grants"}
    assert call("GET", path).json() == {"mode": "revoke_agent_grants"}


@pytest.mark.parametrize("body", [{"mode": "panic"}, {"mode": ""}, {"mode": "a\x00"}, {}, b""])
def test_another_mode_is_400(call: Call, body: object) -> None:
    message = _error(call("PATCH", "/v1/irregularities/response-policy", body), 400, "BAD_REQUEST")
    assert message == "mode: one of alert_only, revoke_agent_grants."
    assert access.response_mode() == "alert_only"


# Audit log


def test_logging_an_entry_answers_201_as_documented(call: Call) -> None:
    answer = call("POST", "/v1/audit/log", {**ENTRY, "metadata": {"ticket": 7}, "status": "blocked"})
    assert answer.status_code == 201
    entry = AuditEntry.objects.get()
    assert re.fullmatch("[0-9a-f]{64}", entry.hash)
    golden = {
        "entryId": entry.public_id,
        **{name: ENTRY[name] for name in ("agentId", "agentDid", "grantId", "principalId")},
        "developerId": "ci",
        "action": "invoice.read",
        "metadata": {"ticket": 7},
        "hash": entry.hash,
        "prevHash": None,
        "timestamp": f"{entry.timestamp:%Y-%m-%dT%H:%M:%S}.{entry.timestamp.microsecond // 1000:03}Z",
        "status": "blocked",
    }
    assert answer.json() == golden
    assert list(answer.json()) == list(golden)
    assert call("GET", f"/v1/audit/{entry.public_id}").json() == golden
    assert call("GET", "/v1/audit/entries").json() == {"entries": [golden]}
    assert Event.objects.get().external_id == entry.public_id


def test_entries_are_chained(call: Call) -> None:
    first, second = (call("POST", "/v1/audit/log", ENTRY).json() for _ in range(2))
    assert second["prevHash"] == first["hash"]
    assert (first["status"], first["metadata"]) == ("success", {})


@pytest.mark.parametrize("field", list(ENTRY))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_or_empty_field_is_400_naming_it(call: Call, field: str, value: str | None) -> None:
    body = {**ENTRY, field: value}
    if value is None:
        del body[field]
    assert _error(call("POST", "/v1/audit/log", body), 400, "BAD_REQUEST") == f"{field}: missing or empty."
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_an_entry_of_nothing_is_400_naming_all_five(call: Call, body: bytes) -> None:
    message = _error(call("POST", "/v1/audit/log", body), 400, "BAD_REQUEST")
    assert message == "agentId, agentDid, grantId, principalId, action: missing or empty."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "odd"}, "status: Input should be 'success', 'failure' or 'blocked'."),
        ({"agentId": 5}, "agentId: Input should be a valid string."),
        ({"agentId": "x" * 201}, "agentId: String should have at most 200 characters."),
        ({"action": "a\x00b"}, "action: it contains a NUL character, which cannot be stored."),
        ({"metadata": [1]}, "metadata: "),
        ({"metadata": "x"}, "metadata: "),
        ({"metadata": {"a": ["\x00"]}}, "metadata: it contains a NUL character, which cannot be stored."),
        ({"metadata": {"\x00": 1}}, "metadata: it contains a NUL character, which cannot be stored."),
        ({"metadata": {"text": "x" * 2_000_000}}, "metadata: "),
        ({"metadata": json.loads('{"a":' * 200 + "1" + "}" * 200)}, "metadata: it is nested deeper than"),
    ],
)
def test_a_bad_field_is_422_naming_it(call: Call, changes: dict[str, Any], said: str) -> None:
    answer = call("POST", "/v1/audit/log", {**ENTRY, **changes})
    assert _error(answer, 422, "VALIDATION_ERROR").startswith(said)
    assert not AuditEntry.objects.exists()
    assert not Event.objects.exists()


def _entries(call: Call, query: str) -> list[str]:
    answer = call("GET", f"/v1/audit/entries?{query}")
    assert answer.status_code == 200, answer.content
    return [entry["action"] for entry in answer.json()["entries"]]


def test_entries_are_filtered_by_each_parameter_oldest_first(call: Call) -> None:
    for number, changes in enumerate([{}, {"agentId": "ag_2"}, {"grantId": "grnt_2"}, {"principalId": "user_2"}]):
        call("POST", "/v1/audit/log", {**ENTRY, **changes, "action": f"a{number}"})
    assert _entries(call, "") == ["a0", "a1", "a2", "a3"]
    assert _entries(call, "agentId=ag_2") == ["a1"]
    assert _entries(call, "grantId=grnt_2") == ["a2"]
    assert _entries(call, "principalId=user_2") == ["a3"]
    assert _entries(call, "action=a3") == ["a3"]
    assert _entries(call, "agentId=ag_2&action=a3") == []


def test_since_and_until_include_the_time_that_an_entry_shows(call: Call) -> None:
    logged = call("POST", "/v1/audit/log", ENTRY).json()["timestamp"]
    assert len(_entries(call, f"since={logged}")) == 1
    assert len(_entries(call, f"until={logged}")) == 1
    assert _entries(call, "since=2100-01-01") == []
    assert _entries(call, "until=2000-01-01T00:00:00%2B02:00") == []


def test_entries_are_paged_if_asked(call: Call) -> None:
    for number in range(5):
        call("POST", "/v1/audit/log", {**ENTRY, "action": f"a{number}"})
    assert _entries(call, "pageSize=2") == ["a0", "a1"]
    assert _entries(call, "page=2&pageSize=2") == ["a2", "a3"]
    assert _entries(call, "page=3&pageSize=2") == ["a4"]
    assert _entries(call, "page=4&pageSize=2") == []
    assert len(_entries(call, "page=1")) == 5


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("page=0", "page"),
        ("page=x", "page"),
        ("page=", "page"),
        ("page=99999999999999999999999", "page"),
        ("pageSize=0", "pageSize"),
        ("pageSize=1001", "pageSize"),
        ("pageSize=2.5", "pageSize"),
        ("since=yesterday", "since"),
        ("since=", "since"),
        ("until=2026-13-01", "until"),
        ("until=99999999999999999999", "until"),
        ("agentId=", "agentId"),
        ("agentId=%00", "agentId"),
        ("grantId=" + "x" * 201, "grantId"),
        ("principalId=", "principalId"),
        ("action=", "action"),
    ],
)
def test_a_bad_parameter_is_400_naming_it(call: Call, query: str, name: str) -> None:
    assert _error(call("GET", f"/v1/audit/entries?{query}"), 400, "BAD_REQUEST").startswith(f"{name}: ")


@pytest.mark.parametrize("path_id", ["alog_unknown", "%00", "a%2Fb"])
def test_an_unknown_entry_is_404(call: Call, path_id: str) -> None:
    assert "no audit entry" in _error(call("GET", f"/v1/audit/{path_id}"), 404, "NOT_FOUND")


# Agents


def test_an_agent_is_registered_as_documented(call: Call) -> None:
    answer = call("POST", "/v1/agents", {"name": "Billing", "description": "pays", "scopes": ["invoices:read"]})
    assert answer.status_code == 201
    agent = answer.json()
    assert agent == {
        "agentId": agent["agentId"],
        "did": f"did:grantex:{agent['agentId']}",
        "developerId": "ci",
        "name": "Billing",
        "description": "pays",
        "scopes": ["invoices:read"],
        "status": "active",
        "createdAt": agent["createdAt"],
        "updatedAt": agent["createdAt"],
    }
    assert call("GET", f"/v1/agents/{agent['agentId']}").json() == agent
    assert call("GET", "/v1/agents").json() == {"agents": [agent]}


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_an_agent_is_changed_in_what_is_named(call: Call, method: str) -> None:
    agent = call("POST", "/v1/agents", {"name": "Billing", "scopes": ["a"]}).json()
    changed = call(method, f"/v1/agents/{agent['agentId']}", {"description": "pays", "status": "suspended"}).json()
    assert changed == {**agent, "description": "pays", "status": "suspended", "updatedAt": changed["updatedAt"]}


def test_a_deleted_agent_is_gone_and_its_events_stay(call: Call) -> None:
    event = make.event()
    path = f"/v1/agents/{event.agent_id}"
    answer = call("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        _error(call(method, path, {}), 404, "NOT_FOUND")
    assert call("GET", "/v1/agents").json() == {"agents": []}
    assert Event.objects.count() == 1


def test_agents_known_only_from_events_are_listed(call: Call) -> None:
    call("POST", "/v1/audit/log", ENTRY)
    (agent,) = call("GET", "/v1/agents").json()["agents"]
    assert (agent["agentId"], agent["name"], agent["developerId"]) == ("ag_billing", "ag_billing", "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "name: Field required."),
        ({"name": ""}, "name: String should have at least 1 character."),
        ({"name": "x" * 201}, "name: String should have at most 200 characters."),
        ({"name": "a", "scopes": "all"}, "scopes: Input should be a valid list."),
        ({"name": "a", "scopes": ["a", 5]}, "scopes.1: Input should be a valid string."),
        ({"name": "a", "scopes": ["\x00"]}, "scopes.0: it contains a NUL character, which cannot be stored."),
        ({"name": "a", "status": "odd"}, "status: Input should be 'active', 'suspended' or 'revoked'."),
        ({"name": "a", "description": None}, "description: Input should be a valid string."),
    ],
)
def test_a_bad_agent_is_422_naming_the_field(call: Call, body: object, said: str) -> None:
    assert _error(call("POST", "/v1/agents", body), 422, "VALIDATION_ERROR").startswith(said)
    assert not Agent.objects.exists()


@pytest.mark.parametrize("path_id", ["ag_unknown", "%00", "a%2Fb", "..%2Fanomalies"])
def test_an_unknown_agent_is_404(call: Call, path_id: str) -> None:
    assert "no agent" in _error(call("GET", f"/v1/agents/{path_id}"), 404, "NOT_FOUND")


def test_the_agents_cost_the_same_queries_for_any_number(call: Call, django_assert_num_queries: Any) -> None:
    call("GET", "/v1/agents")
    for number in range(30):
        make.agent(f"ag_{number}")
    with django_assert_num_queries(2):  # the key, the agents
        assert len(call("GET", "/v1/agents").json()["agents"]) == 30


# The stream, as far as a server without ASGI can tell; the rest is in test_grantex_stream.py


def test_without_asgi_the_stream_says_so_and_does_not_block(call: Call) -> None:
    assert "ASGI" in _error(call("GET", "/v1/events/stream"), 501, "NOT_IMPLEMENTED")


# The documentation


def test_the_reference_lists_every_call(vic: User) -> None:
    client = Client()
    client.force_login(vic)
    paths = client.get("/v1/openapi.json").json()["paths"]
    listed = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert listed >= {
        (method, path.replace("anom_1", "{anomaly_id}").replace("ag_1", "{agent_id}").replace("alog_1", "{entry_id}"))
        for method, path, _ in SCOPES
    }


def test_the_reference_needs_a_login(db: None) -> None:
    for path in ("/v1/docs", "/v1/openapi.json"):
        assert Client().get(path).status_code == 302

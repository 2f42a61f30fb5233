"""api/grantex_v1: who may call, and the form of all answers."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from anomalies.api.grantex_v1 import agents as agents_api
from anomalies.models import Agent, Anomaly
from anomalies.services import api_keys
from tests import make
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import SCOPES, error

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer gx_live_wrong", "Basic Z3g6eA==", "Bearer ü\x00"]
)
def test_a_missing_or_wrong_key_is_401(call: Call, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = call("GET", "/v1/anomalies", key=None, **headers)
    error(answer, 401, "UNAUTHORIZED")
    assert answer["www-authenticate"] == "Bearer"


def test_an_expired_key_is_401(call: Call) -> None:
    expired = api_keys.create(name="old", scopes=["read"], expires_at=timezone.now() - timedelta(days=1))[1]
    assert "expired" in error(call("GET", "/v1/anomalies", key=expired), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(("method", "path", "scope"), SCOPES)
def test_a_key_without_the_scope_is_403_naming_it(call: Call, method: str, path: str, scope: str) -> None:
    others = sorted({"ingest", "read", "review", "admin"} - {scope})
    weak = make.api_key(*others, name="weak")
    message = error(call(method, path, key=weak), 403, "FORBIDDEN")
    assert message == f"The key weak lacks the scope {scope}; it has {', '.join(others)}."


@pytest.mark.parametrize(("method", "path", "scope"), SCOPES)
def test_every_call_needs_a_key(call: Call, method: str, path: str, scope: str) -> None:
    error(call(method, path, key=None), 401, "UNAUTHORIZED")


def test_every_answer_has_a_request_id(call: Call) -> None:
    for answer in (call("GET", "/v1/anomalies"), call("DELETE", f"/v1/agents/{make.agent().public_id}")):
        assert uuid.UUID(answer["x-request-id"])


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/", "/v1/anomalies/", "/v1/webhooks/wh_1", "/v1/audit", "/v1/%00", "/v1/agents/a%0A"]
)
def test_an_unknown_path_is_404_as_json(call: Call, path: str) -> None:
    assert "There is nothing at /v1/" in error(call("GET", path), 404, "NOT_FOUND")


def test_an_unknown_path_is_404_to_whatever_is_sent(key: str) -> None:
    client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {key}"})
    for path in ("/v1/tokens/revoke", "/api/v2/nothing"):
        error(client.post(path, {}, content_type="application/json"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/v1/anomalies"), ("GET", "/v1/anomalies/detect"), ("DELETE", "/v1/audit/alog_1")]
)
def test_a_wrong_method_is_405_as_json(call: Call, method: str, path: str) -> None:
    if path == "/v1/anomalies/detect":
        make.anomaly()
    answer = call(method, path)
    assert method in error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer["allow"]


def test_an_error_of_ours_is_500_as_json_and_logged(
    call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(agent: Agent) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(agents_api, "to_wire", fail)
    make.agent()
    answer = call("GET", "/v1/agents")
    message = error(answer, 500, "INTERNAL_ERROR")
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
    assert error(call("PATCH", path, body), 400, "BAD_REQUEST").startswith(said)
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
    assert "body: " in error(call("PATCH", path, {"notes": "x" * 200}), 413, "PAYLOAD_TOO_LARGE")


def test_no_call_needs_a_csrf_token(key: str) -> None:
    client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {key}"})
    assert client.post("/v1/anomalies/detect").status_code == 200

"""api/auth: how often a key may call, told alike by each API and refused in its own form."""

from typing import Any

import pytest
from django.test import Client

from anomalies.models import ApiKey
from tests import make

pytestmark = pytest.mark.django_db

EVENT = b'{"time": "2026-11-20T12:00:00Z", "agent_id": "ag_1", "action": "read", "status": "success"}'
CALLS = [
    ("GET", "/v1/anomalies", b""),
    ("POST", "/v1/events", EVENT),
    ("GET", "/api/v2/threats", b""),
]
HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.fixture
def plain(db: None) -> str:
    plain = make.api_key()
    ApiKey.objects.update(requests_per_minute=2)
    return plain


def _call(plain: str, method: str, path: str, body: bytes = b"") -> Any:
    client = Client(raise_request_exception=False, headers={"authorization": f"Bearer {plain}"})
    return client.generic(method, path, body, content_type="application/json")


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_each_answer_tells_what_is_left_in_plain_integers(plain: str, method: str, path: str, body: bytes) -> None:
    answers = [_call(plain, method, path, body) for _ in range(2)]
    told = [[answer[name] for name in HEADERS] for answer in answers]
    assert [line[:2] for line in told] == [["2", "1"], ["2", "0"]]
    assert all(line[2].isdecimal() and 0 < int(line[2]) <= 60 for line in told)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_a_call_too_many_is_429_in_the_apis_own_form(plain: str, method: str, path: str, body: bytes) -> None:
    for _ in range(2):
        _call(plain, method, path, body)
    answer = _call(plain, method, path, body)
    assert answer.status_code == 429
    assert answer["content-type"] == "application/json"
    told = answer.json()
    assert told["code"] == "RATE_LIMIT_EXCEEDED"
    assert told["message"].startswith("The key ci may make 2 calls a minute and has made them; try again in ")
    assert told["requestId"] == answer["x-request-id"]
    assert ("errors" in told) == (path == "/v1/events")
    assert (answer["X-RateLimit-Limit"], answer["X-RateLimit-Remaining"]) == ("2", "0")
    assert answer["Retry-After"] == answer["X-RateLimit-Reset"]
    assert 0 < int(answer["Retry-After"]) <= 60


def test_all_apis_count_together(plain: str) -> None:
    assert [_call(plain, *call).status_code for call in CALLS] == [200, 200, 429]


def test_calls_that_fail_are_counted_and_told_of_too(plain: str) -> None:
    assert _call(plain, "GET", "/v1/agents/ag_unknown")["X-RateLimit-Remaining"] == "1"
    ApiKey.objects.update(scopes=["ingest"])
    forbidden = _call(plain, "GET", "/v1/agents")
    assert (forbidden.status_code, forbidden["X-RateLimit-Remaining"]) == (403, "0")


def test_a_key_without_a_limit_and_who_has_no_key_get_none_of_the_headers(plain: str) -> None:
    ApiKey.objects.update(requests_per_minute=0)
    for answer in (_call(plain, "GET", "/v1/agents"), _call("gx_live_wrong", "GET", "/v1/agents")):
        assert not [name for name in answer.headers if name.lower().startswith(("x-ratelimit", "retry-after"))]

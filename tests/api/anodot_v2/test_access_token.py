"""api/anodot_v2: a token for an API key."""

from datetime import timedelta

import pytest
from django.utils import timezone

from anomalies.models import ApiKey
from anomalies.services import api_keys
from tests import make
from tests.api.anodot_v2.expected import BASE, error
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

PATH = "/api/v2/access-token"


def token(call: Call, key: str) -> str:
    answer = call("POST", PATH, {"refreshToken": key}, key=None)
    assert answer.status_code == 200, answer.content
    found = answer.json()
    assert isinstance(found, str)
    return found


def test_the_token_is_a_string_that_calls_as_the_key_does(call: Call, key: str) -> None:
    assert call("GET", BASE, key=token(call, key)).status_code == 200


@pytest.mark.parametrize("spelt", ["JSON", "json"])
def test_asked_for_json_it_is_in_an_object(call: Call, key: str, spelt: str) -> None:
    answer = call("POST", f"{PATH}?responseformat={spelt}", {"refreshToken": key}, key=None)
    assert list(answer.json()) == ["token"]
    assert call("GET", BASE, key=answer.json()["token"]).status_code == 200


def test_a_wrong_key_or_none_gets_no_token(call: Call, key: str) -> None:
    for body in ({}, {"refreshToken": ""}, {"refreshToken": "x"}, {"refreshToken": 1}, {"refreshToken": "\x00"}):
        error(call("POST", PATH, body, key=None), 401, "UNAUTHORIZED")
    error(call("POST", PATH, {"refreshToken": token(call, key)}, key=None), 401, "UNAUTHORIZED")


def test_a_body_that_is_no_object_is_400(call: Call) -> None:
    error(call("POST", PATH, b"refreshToken", key=None), 400, "body")
    error(call("POST", PATH, [], key=None), 400, "body")


def test_a_token_ends_with_its_key(call: Call, key: str) -> None:
    for end in ({"revoked_at": timezone.now()}, {"revoked_at": None, "expires_at": timezone.now()}):
        ApiKey.objects.update(revoked_at=None, expires_at=None)
        made = token(call, key)
        ApiKey.objects.update(**end)
        error(call("GET", BASE, key=made), 401, "UNAUTHORIZED")


def test_a_token_ends_after_a_day(key: str) -> None:
    now = timezone.now()
    made = api_keys.token_of(ApiKey.objects.get(), at=now)
    admitted = api_keys.authenticate_token(made, at=now + timedelta(hours=23))
    assert admitted is not None
    assert admitted.key == ApiKey.objects.get()
    assert api_keys.authenticate_token(made, at=now + timedelta(hours=24)) is None


def test_a_token_has_the_scopes_of_its_key(call: Call) -> None:
    error(call("GET", BASE, key=token(call, make.api_key("ingest", name="weak"))), 403, "FORBIDDEN")


def test_a_token_that_was_changed_is_none(call: Call, key: str) -> None:
    made = token(call, key)
    for other in (made[:-1], f"{made}x", made.replace(":", "."), made[1:]):
        error(call("GET", BASE, key=other), 401, "UNAUTHORIZED")


def test_a_token_is_of_this_api_alone(call: Call, key: str) -> None:
    assert call("GET", "/api/v2/threats", key=token(call, key)).status_code == 401


def test_tokens_and_their_calls_count_as_calls_of_the_key(call: Call, key: str) -> None:
    ApiKey.objects.update(requests_per_minute=2)
    made = token(call, key)
    assert call("GET", BASE, key=made)["x-ratelimit-remaining"] == "0"
    for answer in (call("GET", BASE, key=made), call("POST", PATH, {"refreshToken": key}, key=None)):
        assert "2 calls a minute" in error(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert 0 < int(answer["retry-after"]) <= 60

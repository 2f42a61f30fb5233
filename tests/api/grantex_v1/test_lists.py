"""Lists without pages: all that match, sent as they are read."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from django.test import Client

from anomalies.api import bodies
from anomalies.api.grantex_v1 import anomalies
from anomalies.models import Anomaly
from anomalies.services import audit, parts
from tests import make

pytestmark = pytest.mark.django_db


class Listed(NamedTuple):
    """One of the lists, how one more of it is made, and how its ids are ordered."""

    path: str
    name: str
    id: str
    make: Callable[[int], str]
    newest_first: bool
    total: bool = False


def _grant(number: int) -> str:
    return make.grant(f"grnt_{number}").public_id


def _anomaly(number: int) -> str:
    return make.anomaly(detected_at=make.NOW + timedelta(seconds=number)).public_id


def _entry(number: int) -> str:
    names = ("developer_id", "agent_id", "agent_did", "grant_id", "principal_id", "action")
    told = dict.fromkeys(names, f"x_{number}")
    return audit.log(**told, status="success", metadata={}, at=make.NOW).public_id


LISTS = {
    "grants": Listed("/v1/grants", "grants", "grantId", _grant, newest_first=True),
    "anomalies": Listed("/v1/anomalies", "anomalies", "id", _anomaly, newest_first=True, total=True),
    "entries": Listed("/v1/audit/entries", "entries", "entryId", _entry, newest_first=False),
}


@pytest.fixture(params=LISTS.values(), ids=LISTS)
def listed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Listed:
    """One of the lists, two of which are read and sent at a time."""
    for module in (parts, bodies):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    one: Listed = request.param
    return one


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_list_is_sent_in_parts_and_complete(client: Client, key: str, listed: Listed, count: int) -> None:
    made = [listed.make(number) for number in range(count)]
    answer: Any = client.get(listed.path, headers={"Authorization": f"Bearer {key}"})
    assert answer.streaming is (count >= 2)  # else it ends with what is read before anything is sent
    sent = list(answer.streaming_content) if answer.streaming else [answer.content]
    assert len(sent) == ((count + 1) // 2 + 1 if answer.streaming else 1)
    told = json.loads(b"".join(sent))
    assert [one[listed.id] for one in told.pop(listed.name)] == (made[::-1] if listed.newest_first else made)
    assert told == ({"total": count} if listed.total else {})
    assert answer["Content-Type"] == "application/json"
    assert answer["x-request-id"]


@pytest.mark.django_db(transaction=True)
def test_a_server_sends_a_list_in_parts(server: str, key: str, listed: Listed) -> None:
    made = [listed.make(number) for number in range(5)]
    answer = httpx.get(f"{server}{listed.path}", headers={"Authorization": f"Bearer {key}"})
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert [one[listed.id] for one in told.pop(listed.name)] == (made[::-1] if listed.newest_first else made)
    assert told == ({"total": 5} if listed.total else {})
    assert "content-length" not in answer.headers  # it was not known yet


def test_what_fails_before_anything_is_sent_is_an_error(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalies, "facts", _fail)
    make.anomaly()
    client = Client(raise_request_exception=False)
    answer = client.get("/v1/anomalies", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "INTERNAL_ERROR"


def _fail(anomaly: Anomaly) -> dict[str, Any]:
    raise ZeroDivisionError(anomaly.public_id)


def test_a_short_list_is_compressed(client: Client, key: str) -> None:
    for number in range(30):
        _anomaly(number)
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "gzip"}
    assert client.get("/v1/anomalies", headers=headers)["Content-Encoding"] == "gzip"

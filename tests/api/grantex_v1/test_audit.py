"""api/grantex_v1/audit: entries in and out."""

import json
import re
from typing import Any

import pytest

from anomalies.models import AuditEntry, Event
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import ENTRY, error

pytestmark = pytest.mark.django_db


def test_logging_an_entry_answers_201_as_documented(call: Call) -> None:
    answer = call("POST", "/v1/audit/log", {**ENTRY, "metadata": {"ticket": 7}, "status": "blocked"})
    assert answer.status_code == 201
    entry = AuditEntry.objects.get()
    assert re.fullmatch("[0-9a-f]{64}", entry.hash)
    wanted = {
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
    assert answer.json() == wanted
    assert list(answer.json()) == list(wanted)
    assert call("GET", f"/v1/audit/{entry.public_id}").json() == wanted
    assert call("GET", "/v1/audit/entries").json() == {"entries": [wanted]}
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
    assert error(call("POST", "/v1/audit/log", body), 400, "BAD_REQUEST") == f"{field}: missing or empty."
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_an_entry_of_nothing_is_400_naming_all_five(call: Call, body: bytes) -> None:
    message = error(call("POST", "/v1/audit/log", body), 400, "BAD_REQUEST")
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
    assert error(answer, 422, "VALIDATION_ERROR").startswith(said)
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
    assert error(call("GET", f"/v1/audit/entries?{query}"), 400, "BAD_REQUEST").startswith(f"{name}: ")


@pytest.mark.parametrize("path_id", ["alog_unknown", "%00", "a%2Fb"])
def test_an_unknown_entry_is_404(call: Call, path_id: str) -> None:
    assert "no audit entry" in error(call("GET", f"/v1/audit/{path_id}"), 404, "NOT_FOUND")


def test_a_time_of_any_offset_is_understood_and_one_out_of_range_refused(call: Call) -> None:
    assert call("GET", "/v1/audit/entries?since=0676-04-25T23:45:09%2B17:08").status_code == 200
    message = error(call("GET", "/v1/audit/entries?since=0001-01-01T00:00:00%2B17:08"), 400, "BAD_REQUEST")
    assert message.startswith("since: ")

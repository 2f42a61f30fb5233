"""api/anodot_v2: what `q` asks for."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from anomalies.models import Anomaly
from tests import make
from tests.api.anodot_v2.expected import BASE, deviating, error, ids
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db


@pytest.fixture
def three(db: None) -> None:
    """a: requests of an agent; b: failures for a user; c: one action of another agent. a began last."""
    mail = make.agent("ag_mail")
    at = [make.NOW - timedelta(hours=number) for number in range(3)]
    usual = {"active_until": make.NOW + timedelta(hours=1)}
    deviating("a", started_at=at[0], **usual)
    of_user = {"description": "Many failed", "kind": "principal", "entity": "user_7", "metric": {"what": "failures"}}
    deviating("b", agent=mail, started_at=at[1], **of_user, **usual)
    deviating("c", agent=mail, title="Nightly", metric={"action": "token.issue"}, started_at=at[2], **usual)


def item(key: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"type": "property", "key": key, "value": value, "isExact": True, **more}


EXPRESSIONS: list[tuple[list[dict[str, Any]], str]] = [
    ([], "abc"),
    ([item("agent", "ag_billing")], "a"),
    ([item("agent", "ag_mail")], "c"),
    ([item("what", "requests")], "ac"),
    ([item("what", "!requests")], "b"),
    ([item("what", "requests OR failures")], "abc"),
    ([item("what", "!requests OR failures")], ""),
    ([item("agent", "ag_billing OR !ag_mail")], "ab"),
    ([item("agent", "ag_billing OR ag_mail")], "ac"),
    ([item("principal", "user_7")], "b"),
    ([item("agent", "ag_")], ""),
    ([item("agent", "AG_", isExact=False)], "ac"),
    ([item("agent", "bill OR nobody", isExact=False)], "a"),
    ([item("agent", "!bill", isExact=False)], "bc"),
    ([item("agent", "%", isExact=False)], ""),
    ([item("agent", "ag.billing", isExact=False)], ""),
    ([item("action", "token.issue")], "c"),
    ([item("action", "!token.issue")], "ab"),
    ([item("action", "issue", isExact=False)], "c"),
    ([item("region", "eu")], ""),
    ([item("region", "!eu")], "abc"),
    ([item("what", "requests"), item("agent", "ag_mail")], "c"),
    ([item("what", "failures"), item("agent", "ag_billing")], ""),
    ([{"type": "search", "value": "ag_billing"}], "a"),
    ([{"type": "search", "value": "!ag_billing"}], "bc"),
    ([{"type": "search", "value": "nightly OR failed"}], "bc"),
    ([{"type": "search", "value": "request"}, item("agent", "ag_mail")], "c"),
    ([{"key": "agent", "value": "ag_billing"}], "a"),
]


@pytest.mark.parametrize(("expression", "found"), EXPRESSIONS)
def test_expressions_are_anded_negated_and_alternatives(
    call: Call, three: None, expression: list[dict[str, Any]], found: str
) -> None:
    assert ids(call, q=json.dumps({"expression": expression})) == [*found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("agent=ag_billing", "a"), ("what=requests.agent=ag_mail.action=token.issue", "c"), ("agent=!ag_mail", "ab"),
        ("what=requests,agent=ag_mail", "c"), ("what=requests agent=ag_mail", "c"),
        ("what=requests&agent=ag_mail", "c"),
        ("what=requests OR failures", "abc"), ("Nightly", "c"), ("billing request", "a"), ("!nightly", "ab"),
        ("{}", "abc"), ('{"expression": []}', "abc"), ("  ", "abc"), ("a=b=c", ""), ("'; DROP TABLE x; --", ""),
    ],
)  # fmt: skip
def test_plain_text_is_pairs_or_words(call: Call, three: None, text: str, found: str) -> None:
    assert ids(call, q=text) == [*found]


def test_a_query_that_was_encoded_twice_is_understood(call: Call, three: None) -> None:
    assert ids(call, q=quote(json.dumps({"expression": [item("agent", "ag_billing")]}))) == ["a"]


def test_a_query_that_was_not_encoded_is_understood_as_browsers_send_it(call: Call, three: None) -> None:
    text = "{%22expression%22:[{%22type%22:%22property%22,%22key%22:%22agent%22,%22value%22:%22ag_mail%22}]}"
    assert [one["id"] for one in call("GET", f"{BASE}?q={text}").json()["anomalies"]] == ["c"]


WRONG: list[tuple[str, int]] = [
    ("{", 0), ('{"expression": 1}', 0), ('{"expression": ["x"]}', 0), ('{"expression": [{}]}', 0),
    (json.dumps({"expression": [item("agent", "a"), item("agent", "")]}), 1),
    (json.dumps({"expression": [item("agent", "a"), item("agent", 5)]}), 1),
    (json.dumps({"expression": [item("agent", " OR ")]}), 0), (json.dumps({"expression": [item("agent", "!")]}), 0),
    (json.dumps({"expression": [item("", "a")]}), 0), (json.dumps({"expression": [item("agent", "a\x00")]}), 0),
    (json.dumps({"expression": [{"type": "function", "value": "a"}]}), 0),
    ("agent=" + " OR ".join("a" * 51), 0), (" OR ".join("a" * 51), 0),
    (json.dumps({"expression": [item("agent", "a"), item("agent", " OR ".join("a" * 51))]}), 1),
    ("a\x00", 0), ("agent=", 0), ("what=x agent=", 1), ("x" * 10_001, 0), ("{" * 5000, 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "index"), WRONG)
@pytest.mark.parametrize("path", [BASE, f"{BASE}/count", f"{BASE}/tokenMap", f"{BASE}/a/metrics"])
def test_another_query_is_400_and_says_where(call: Call, three: None, path: str, text: str, index: int) -> None:
    error(call("GET", f"{path}?{urlencode({'q': text})}"), 400, "q", index=index)


def test_fifty_alternatives_are_looked_for(call: Call, three: None) -> None:
    for text in ("agent=" + " OR ".join("a" * 50), " OR ".join("a" * 50)):
        assert call("GET", f"{BASE}?{urlencode({'q': text})}").status_code == 200


INJECTED = [
    "'",
    "' OR 1=1 --",
    '"; DROP TABLE anomalies_anomaly; --',
    "%' OR '1'='1",
    "\\",
    "$$",
    "a') UNION SELECT 1--",
]


@pytest.mark.parametrize("text", INJECTED)
def test_what_is_sent_never_is_sql(call: Call, three: None, text: str) -> None:
    for one in (
        item("agent", text),
        item("agent", text, isExact=False),
        item(text, "a"),
        {"type": "search", "value": text},
    ):
        query = urlencode({"q": json.dumps({"expression": [one]})})
        assert call("GET", f"{BASE}?{query}").status_code == 200
        assert call("GET", f"{BASE}/tokenMap?{query}").status_code == 200
    assert Anomaly.objects.count() == 3

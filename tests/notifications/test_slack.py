"""Slack, told to a real server on this machine."""

import json
from dataclasses import replace
from typing import Any

import pytest

from anomalies.notifications.http import Policy
from anomalies.notifications.kind import Outcome
from anomalies.notifications.message import Told
from anomalies.notifications.slack import SLACK, Setup, deliver, escaped
from tests.notifications.messages import HERE, NOW, digest, golden, message, story
from tests.notifications.receiver import Receiver, receiving, status

SERVICE = "/services/T01/B01/secretsecret"


def tell(there: Receiver, *told: Told) -> list[Outcome]:
    setup = Setup(url=there.url.replace("/hook", SERVICE))
    return [deliver(setup, one, at=NOW, policy=HERE) for one in told]


def test_messages_of_one_anomaly_are_as_they_were_agreed_upon() -> None:
    with receiving(status(200, b"ok")) as there:
        outcomes = tell(there, *story())
    assert [one.json for one in there.received] == golden("slack")
    assert all(one.delivered for one in outcomes)
    sent = [one.json["attachments"][0]["blocks"] for one in there.received]
    assert {blocks[0]["block_id"] for blocks in sent} == {"anom_01"}
    assert [one.headers["Idempotency-Key"] for one in there.received] == ["msg_01", "msg_02", "msg_03", "msg_04"]


def test_the_address_is_a_secret_and_in_no_record() -> None:
    with receiving(status(404, b"no_service /services/T01/B01/secretsecret")) as there:
        (outcome,) = tell(there, message())
    assert there.received[0].path == SERVICE
    assert "secretsecret" not in json.dumps(outcome.as_json())
    assert outcome.words == "answered 404"


@pytest.mark.parametrize(
    "markup",
    ["<!channel>", "<!here|all>", "<@U012>", "<#C01>", "<https://evil.example|Sign in>", "&lt;!channel&gt;"],
)
def test_no_markup_of_what_agents_said_pings_or_links(markup: str) -> None:
    hostile = message(description=markup, title=markup, agent_id=markup, reason=markup)
    many = digest(3)
    many = replace(many, messages=[replace(hostile, id=one.id) for one in many.messages])
    with receiving() as there:
        tell(there, hostile, many)
    for received in there.received:
        assert markup not in received.json["text"]
        for text in texts(received.json):
            assert text["verbatim"] is True  # what looks like an address or a name stays text
            assert markup not in text["text"]
        assert (received.json["parse"], received.json["link_names"]) == ("none", False)


def texts(body: Any) -> list[dict[str, Any]]:
    if isinstance(body, list):
        return [found for one in body for found in texts(one)]
    if not isinstance(body, dict):
        return []
    return [body] if body.get("type") == "mrkdwn" else [found for one in body.values() for found in texts(one)]


def test_what_is_long_is_cut_where_slack_would_refuse_it_and_the_cut_shows() -> None:
    with receiving() as there:
        tell(there, message(description="<" * 10_000, title="&" * 5000, reason="x" * 5000), digest(100))
    first, many = (one.json["attachments"][0]["blocks"] for one in there.received)
    assert all(len(text["text"]) <= 3000 for text in texts(first))
    assert texts(first)[1]["text"].endswith("…")
    assert len(many) <= 50
    assert escaped("a & b <c>") == "a &amp; b &lt;c&gt;"


def test_a_digest_lists_the_worst_and_says_how_many_more() -> None:
    with receiving() as there:
        tell(there, digest(60))
    (body,) = (one.json for one in there.received)
    assert body["text"] == "60 anomalies: 20 high, 20 medium, 20 low"
    blocks = body["attachments"][0]["blocks"]
    assert blocks[-2]["text"]["text"] == "<https://anomalies.example/?from=2026-11-20T13:00|and 40 more>"
    assert "*High* · <https://anomalies.example/anomalies/anom_02/|Rate spike>" in blocks[0]["text"]["text"]


@pytest.mark.parametrize("url", ["http://hooks.slack.com/services/x", "https://hooks.slack.com/", "nonsense"])
def test_what_is_no_incoming_webhook_is_named(url: str) -> None:
    assert list(SLACK.errors_of(Setup(url=url), Policy())) == ["url"]
    assert SLACK.errors_of(Setup(url="https://hooks.slack.com/services/T/B/x"), Policy()) == {}

"""PagerDuty, told to a stand-in of it on this machine."""

import json
from dataclasses import replace

import pytest

from anomalies.notifications.http import Policy
from anomalies.notifications.message import Message
from anomalies.notifications.pagerduty import BASES, PAGERDUTY, Setup, deliver
from tests.notifications.messages import HERE, NOW, golden, message, story
from tests.notifications.receiver import Received, receiving, status

KEY = "0123456789abcdef0123456789ABCDEF"
ANSWER = status(202, b'{"status": "success", "message": "Event processed", "dedup_key": "anom_01"}')


def told(*messages: Message, **settings: str) -> list[Received]:
    with receiving(ANSWER) as there:
        policy = replace(HERE, bases={"pagerduty": f"http://127.0.0.1:{there.port}/"})
        for one in messages:
            outcome = deliver(Setup(routing_key=KEY, **settings), one, at=NOW, policy=policy)
            assert outcome.delivered
            assert KEY not in json.dumps(outcome.as_json())
    return there.received


def test_an_incident_is_triggered_acknowledged_and_resolved_under_the_id_of_its_anomaly() -> None:
    received = told(*story())
    assert [one.json for one in received] == golden("pagerduty")
    assert {one.path for one in received} == {"/v2/enqueue"}
    assert [one.json["event_action"] for one in received] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {one.json["dedup_key"] for one in received} == {"anom_01"}
    assert [one.headers["Idempotency-Key"] for one in received] == ["msg_01", "msg_02", "msg_03", "msg_04"]


@pytest.mark.parametrize(("severity", "level"), [("high", "critical"), ("medium", "error"), ("low", "info")])
def test_each_severity_is_the_level_that_was_chosen(severity: str, level: str) -> None:
    (received,) = told(message(severity=severity), low_is="info")
    assert received.json["payload"]["severity"] == level


def test_a_long_summary_is_cut_and_what_is_of_no_agent_has_a_source() -> None:
    (received,) = told(message(description="x" * 5000, agent_id=None, principal_id=None, ip="192.0.2.1"))
    assert len(received.json["payload"]["summary"]) == 1024
    assert received.json["payload"]["summary"].endswith("…")
    assert received.json["payload"]["source"] == "192.0.2.1"


def test_it_goes_to_the_region_that_was_chosen_and_takes_no_digests() -> None:
    assert BASES == {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
    assert PAGERDUTY.target(Setup(region="eu")) == "events.eu.pagerduty.com"
    assert not PAGERDUTY.digests


@pytest.mark.parametrize("key", ["short", "0" * 33, "0" * 31 + "-"])
def test_what_is_no_integration_key_is_named(key: str) -> None:
    assert list(PAGERDUTY.errors_of(Setup(routing_key=key), Policy())) == ["routing_key"]
    assert PAGERDUTY.errors_of(Setup(routing_key=KEY), Policy()) == {}

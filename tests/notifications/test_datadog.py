"""Datadog, told to a stand-in of it on this machine."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from anomalies.notifications.datadog import DATADOG, SITES, Setup, deliver, plain
from anomalies.notifications.http import Policy
from anomalies.notifications.message import Told
from tests.notifications.messages import HERE, NOW, digest, golden, message, story
from tests.notifications.receiver import Received, receiving, status

KEY = "0123456789abcdef0123456789abcdef"


def tell(*told: Told, at: timedelta = timedelta()) -> list[Received]:
    with receiving(status(202, b'{"status": "ok"}')) as there:
        policy = replace(HERE, bases={"datadog": f"http://127.0.0.1:{there.port}"})
        for one in told:
            outcome = deliver(Setup(api_key=KEY, tags="team:security\n\n env:prod "), one, at=NOW + at, policy=policy)
            assert outcome.delivered
            assert KEY not in json.dumps(outcome.as_json())
    return there.received


def test_events_of_one_anomaly_are_gathered_by_its_id() -> None:
    received = tell(*story())
    assert [one.json for one in received] == golden("datadog")
    assert {one.path for one in received} == {"/api/v1/events"}
    assert {one.headers["DD-API-KEY"] for one in received} == {KEY}
    assert {one.json["aggregation_key"] for one in received} == {"anom_01"}
    assert [one.json["alert_type"] for one in received] == ["warning", "error", "error", "success"]
    assert [one.headers["Idempotency-Key"] for one in received] == ["msg_01", "msg_02", "msg_03", "msg_04"]


def test_what_happened_too_long_ago_for_datadog_is_sent_without_its_time() -> None:
    (received,) = tell(message(), at=timedelta(hours=18))
    assert "date_happened" not in received.json


@pytest.mark.parametrize("text", ["@all", "see @pagerduty-desk", "(@slack-security)", "\n@ana@example.com"])
def test_nothing_that_agents_said_mentions_anybody(text: str) -> None:
    (received,) = tell(message(description=text, title=text))
    said = received.json["title"] + received.json["text"]
    assert "@all" not in said
    assert "@pagerduty" not in said
    assert "@slack" not in said
    assert "@ana" not in said
    assert plain("ana@example.com", 100) == "ana@example.com"


def test_a_digest_lists_the_worst_and_says_how_many_more_within_what_is_shown() -> None:
    (received,) = tell(digest(55))
    assert received.json["title"] == "55 anomalies: 18 high, 18 medium, 19 low"
    assert received.json["text"].splitlines()[-2] == "and 40 more https://anomalies.example/?from=2026-11-20T13:00"
    assert (received.json["aggregation_key"], received.json["alert_type"]) == ("dig_01", "error")
    (long,) = tell(message(description="x" * 10_000))
    assert len(long.json["text"]) < 4000
    assert long.json["text"].endswith("https://anomalies.example/anomalies/anom_01/\nmsg_01")


def test_it_goes_to_the_site_that_was_chosen() -> None:
    assert DATADOG.target(Setup(site="datadoghq.eu")) == "datadoghq.eu"
    assert "us5.datadoghq.com" in SITES


@pytest.mark.parametrize(
    ("field", "settings"),
    [("api_key", {"api_key": "a b"}), ("site", {"site": "evil.example"}), ("tags", {"tags": "a\n" * 21})],
)
def test_what_makes_no_sense_is_named(field: str, settings: dict[str, str]) -> None:
    assert list(DATADOG.errors_of(Setup(**{"api_key": KEY, **settings}), Policy())) == [field]
    assert DATADOG.errors_of(Setup(api_key=KEY), Policy()) == {}

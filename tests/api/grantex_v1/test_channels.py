"""api/grantex_v1/channels: made, listed, deleted; and what rules raise is really told."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from anomalies.models import Channel
from anomalies.notifications.registry import KINDS
from anomalies.services import channels
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import error
from tests.services.channels import SECRET, channel

pytestmark = pytest.mark.django_db

PATH = "/v1/anomaly/channels"
URL = "https://example.com/hook"
NEW: dict[str, Any] = {
    "type": "webhook",
    "name": "security",
    "config": {"url": URL, "secret": SECRET},
    "severities": ["critical", "high"],
}
SLACK: dict[str, Any] = {
    "type": "slack",
    "name": "slack-security",
    "config": {"webhookUrl": "https://hooks.slack.com/services/T00000/B00000/xxxxxxxx"},
}


@pytest.fixture(autouse=True)
def mail_goes_out(settings: Any) -> None:
    settings.ANOMALIES_MAIL_SERVER = {"host": "127.0.0.1", "port": 2525, "sender": "anomalies@example.com"}


def golden(**changes: Any) -> dict[str, Any]:
    made = Channel.objects.latest("id")
    return {
        "id": made.public_id,
        "type": "webhook",
        "name": "security",
        "config": {"url": URL},
        "severities": ["high"],
        "enabled": True,
        "createdAt": made.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **changes,
    }


def test_a_channel_is_made_as_documented_and_its_secret_told_to_nobody(call: Call) -> None:
    answer = call("POST", PATH, NEW)
    assert (answer.status_code, answer.json()) == (201, golden())
    listed = call("GET", PATH)
    assert listed.json() == {"channels": [golden()]}
    assert list(listed.json()["channels"][0]) == [
        "id", "type", "name", "config", "severities", "enabled", "createdAt",
    ]  # fmt: skip
    assert SECRET not in answer.content.decode() + listed.content.decode()
    made = Channel.objects.get()
    assert (made.created_by, channels.setup_of(made).signing_secret) == ("ci", SECRET)


def test_an_empty_list_is_as_documented(call: Call) -> None:
    assert call("GET", PATH).json() == {"channels": []}


@pytest.mark.parametrize(
    ("body", "config"),
    [
        (SLACK, {}),
        ({"type": "email", "config": {"to": "security@example.com"}}, {"to": "security@example.com"}),
        ({"type": "pagerduty", "config": {"routingKey": "a" * 32}}, {}),
        ({"type": "datadog", "config": {"apiKey": "b" * 32, "site": "datadoghq.com"}}, {"site": "datadoghq.com"}),
        ({"type": "webhook", "config": {"url": URL, "secret": SECRET, "headers": {"X-Key": "k3y"}}}, {"url": URL}),
        (
            {"type": "webhook", "config": {"url": URL, "secret": SECRET, "timeoutSeconds": 5}},
            {"url": URL, "timeoutSeconds": 5},
        ),
    ],
)
def test_each_documented_kind_is_made_and_shows_no_secret(
    call: Call, body: dict[str, Any], config: dict[str, Any]
) -> None:
    answer = call("POST", PATH, {"name": "one", **body})
    assert (answer.status_code, answer.json()["config"]) == (201, config), answer.content
    assert call("GET", PATH).json()["channels"] == [answer.json()]


def test_each_kind_of_the_registry_is_taken(call: Call) -> None:
    for kind in KINDS:
        assert not error(call("POST", PATH, {**NEW, "type": kind, "config": {}}), 400, "BAD_REQUEST").startswith("type")


def test_any_text_is_a_secret_and_its_bytes_are_the_key(call: Call) -> None:
    call("POST", PATH, {**NEW, "config": {"url": URL, "secret": "a text of twenty-four letters"}})
    assert channels.setup_of(Channel.objects.get()).signing_secret == "whsec_YSB0ZXh0IG9mIHR3ZW50eS1mb3VyIGxldHRlcnM="


@pytest.mark.parametrize(
    ("severities", "told"),
    [
        (None, ["high"]),
        (["critical"], ["high"]),
        (["low"], ["low"]),
        (["high", "low"], ["high", "low"]),
        (["medium", "high"], ["high", "medium"]),
        (["low", "medium", "high", "critical"], ["high", "medium", "low"]),
    ],
)
def test_severities_are_those_that_it_is_told(call: Call, severities: list[str] | None, told: list[str]) -> None:
    body = {name: value for name, value in {**NEW, "severities": severities}.items() if value is not None}
    assert call("POST", PATH, body).json()["severities"] == told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "sms"}, "type: one of "),
        ({"type": None}, "type: "),
        ({"name": ""}, "name: A name is needed."),
        ({"name": "x" * 101}, "name: 101 characters, at most 100 are kept."),
        ({"name": "a\x00"}, "name: It is no text."),
        ({"config": None}, "config: "),
        ({"config": {}}, "config.url: "),
        ({"config": {"url": "http://example.com", "secret": SECRET}}, "config.url: "),
        ({"config": {"url": 5, "secret": SECRET}}, "config.url: It is no text."),
        ({"config": {"url": URL}}, "config.secret: "),
        ({"config": {"url": URL, "secret": SECRET, "headers": ["X-Team"]}}, "config.headers: Names with values"),
        ({"config": {"url": URL, "secret": SECRET, "headers": "X-Team: a"}}, "config.headers: Names with values"),
        ({"config": {"url": URL, "secret": SECRET, "headers": {"X-Team": 5}}}, "config.headers: Names with values"),
        ({"config": {"url": URL, "secret": "short"}}, "config.secret: It spells 5 bytes; 24 to 64 are needed."),
        ({"config": {"url": URL, "secret": SECRET, "colour": "red"}}, "config.colour: Webhook has no such setting"),
        ({"type": "pagerduty", "config": {"routingKey": "short"}}, "config.routingKey: "),
        ({"type": "datadog", "config": {"apiKey": "b" * 32, "site": "nowhere"}}, "config.site: "),
        ({"type": "email", "config": {"to": "nobody"}}, "config.to: "),
        ({"type": "slack", "config": {"webhookUrl": "http://hooks.slack.com/services/T0"}}, "config.webhookUrl: "),
        ({"severities": []}, "severities: List should have at least 1 item"),
        ({"severities": ["panic"]}, "severities.0: Input should be"),
        ({"severities": "high"}, "severities: "),
        ({"filters": {}}, "filters: Extra inputs are not permitted."),
    ],
)
def test_what_is_wrong_is_400_naming_the_field_and_nothing_is_made(
    call: Call, changes: dict[str, Any], said: str
) -> None:
    assert error(call("POST", PATH, {**NEW, **changes}), 400, "BAD_REQUEST").startswith(said)
    assert not Channel.objects.exists()


@pytest.mark.parametrize("missing", ["type", "name", "config"])
def test_what_is_missing_is_400_naming_it(call: Call, missing: str) -> None:
    body = {name: value for name, value in NEW.items() if name != missing}
    assert error(call("POST", PATH, body), 400, "BAD_REQUEST") == f"{missing}: Field required."


def test_a_call_that_is_repeated_makes_no_second_channel(call: Call) -> None:
    first = call("POST", PATH, NEW)
    second = call("POST", PATH, NEW)
    assert (second.status_code, second.json()) == (201, first.json())
    assert Channel.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"severities": ["low"]},
        {"config": {"url": f"{URL}/other", "secret": SECRET}},
        {"config": {"url": URL, "secret": "another text of more than 24"}},
        {"config": {"url": URL, "secret": SECRET, "headers": {"X-Key": "k3y"}}},
        {**SLACK, "name": "security"},
    ],
)
def test_another_channel_of_the_same_name_is_409(call: Call, changes: dict[str, Any]) -> None:
    first = call("POST", PATH, NEW).json()
    assert error(call("POST", PATH, {**NEW, **changes}), 409, "CONFLICT").startswith("name: ")
    assert call("GET", PATH).json()["channels"] == [first]


def test_a_channel_of_the_pages_is_listed_too(call: Call) -> None:
    made = channel(least_severity=2, filter="type=rate_spike&severity=high", auth="bearer", secret="t0ken-of-mine")
    listed = call("GET", PATH)
    assert [(one["id"], one["severities"]) for one in listed.json()["channels"]] == [(made.public_id, ["high"])]
    assert b"t0ken-of-mine" not in listed.content


def test_deleting_ends_a_channel_once_and_frees_its_name(call: Call) -> None:
    path = f"{PATH}/{call('POST', PATH, NEW).json()['id']}"
    assert call("DELETE", path).status_code == 204
    assert call("GET", PATH).json() == {"channels": []}
    assert "no channel" in error(call("DELETE", path), 404, "NOT_FOUND")
    assert call("POST", PATH, NEW).status_code == 201


@pytest.mark.parametrize("channel_id", ["unknown", "a%2Fb", "%00", "x" * 500])
def test_an_unknown_channel_is_404(call: Call, channel_id: str) -> None:
    assert "no channel" in error(call("DELETE", f"{PATH}/{channel_id}"), 404, "NOT_FOUND")


def test_the_list_takes_as_many_queries_for_ten_as_for_one(
    call: Call, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(10):
        call("POST", PATH, {**NEW, "name": f"Desk {number}"})
    with django_assert_num_queries(2):  # the key, the channels
        assert len(call("GET", PATH).json()["channels"]) == 10

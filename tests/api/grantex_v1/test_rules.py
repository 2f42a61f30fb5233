"""api/grantex_v1/rules: made, listed, switched, deleted."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from anomalies.detection.registry import DETECTORS
from anomalies.models import Change, DetectorSettings, Rule
from anomalies.services import channels, detectors
from anomalies.services.actor import Actor
from tests import make
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import error
from tests.services.channels import channel

pytestmark = pytest.mark.django_db

PATH = "/v1/anomaly/rules"
NEW: dict[str, Any] = {
    "ruleId": "billing_agent_write_surge",
    "name": "Billing Agent Write Surge",
    "description": "Billing agent writing more than 20 invoices in 10 minutes",
    "severity": "high",
    "condition": {"agentIds": ["ag_billing"], "scopes": ["invoices:write"], "timeWindow": "10m", "threshold": 20},
}


def golden(**changes: Any) -> dict[str, Any]:
    return {
        "id": NEW["ruleId"],
        **NEW,
        "alertChannels": [],
        "enabled": True,
        "builtIn": False,
        "createdAt": Rule.objects.latest("id").created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **changes,
    }


def made(call: Call) -> list[dict[str, Any]]:
    return [each for each in call("GET", PATH).json()["rules"] if not each["builtIn"]]


def test_a_rule_is_made_as_documented_and_listed_after_the_built_in_ones(call: Call) -> None:
    answer = call("POST", PATH, NEW)
    assert (answer.status_code, answer.json()) == (201, golden())
    rules = call("GET", PATH).json()["rules"]
    assert list(rules[0]) == [
        "id", "ruleId", "name", "description", "condition", "severity", "alertChannels", "enabled", "builtIn",
        "createdAt",
    ]  # fmt: skip
    assert [each["ruleId"] for each in rules] == [*DETECTORS, NEW["ruleId"]]
    assert rules[0] == {
        "id": "rate_spike",
        "ruleId": "rate_spike",
        "name": DETECTORS["rate_spike"].label,
        "description": DETECTORS["rate_spike"].meaning,
        "condition": {},
        "severity": None,
        "alertChannels": [],
        "enabled": True,
        "builtIn": True,
        "createdAt": None,
    }
    assert rules[-1] == golden()
    assert Rule.objects.get().created_by == "ci"


def test_what_is_left_out_means_all_and_medium(call: Call) -> None:
    body = {"ruleId": "r", "name": "R", "condition": {"timeWindow": "5m", "threshold": 100}}
    told = call("POST", PATH, body).json()
    assert told["condition"] == {"agentIds": [], "scopes": [], "timeWindow": "5m", "threshold": 100}
    assert (told["description"], told["severity"], told["alertChannels"]) == (None, "medium", [])


def test_a_call_that_is_repeated_makes_no_second_rule(call: Call) -> None:
    first = call("POST", PATH, NEW)
    call("PATCH", f"{PATH}/{NEW['ruleId']}", {"enabled": False})
    second = call("POST", PATH, NEW)
    assert (second.status_code, second.json()) == (201, {**first.json(), "enabled": False})
    assert Rule.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Another"},
        {"severity": "low"},
        {"description": None},
        {"condition": {**NEW["condition"], "threshold": 21}},
        {"condition": {**NEW["condition"], "scopes": []}},
    ],
)
def test_another_rule_of_the_same_id_is_409(call: Call, changes: dict[str, Any]) -> None:
    first = call("POST", PATH, NEW).json()
    assert error(call("POST", PATH, {**NEW, **changes}), 409, "CONFLICT").startswith("ruleId: ")
    assert made(call) == [first]


def test_the_id_of_a_deleted_or_a_built_in_rule_is_409(call: Call) -> None:
    call("POST", PATH, NEW)
    call("DELETE", f"{PATH}/{NEW['ruleId']}")
    assert "never used again" in error(call("POST", PATH, NEW), 409, "CONFLICT")
    assert "built in" in error(call("POST", PATH, {**NEW, "ruleId": "rate_spike"}), 409, "CONFLICT")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ruleId": ""}, "ruleId: String should have at least 1 character."),
        ({"ruleId": " "}, "ruleId: it is empty."),
        ({"ruleId": "a\x00"}, "ruleId: it is no text."),
        ({"ruleId": "x" * 201}, "ruleId: 201 characters, at most 200 are kept."),
        ({"ruleId": None}, "ruleId: Input should be a valid string."),
        ({"name": ""}, "name: it is empty."),
        ({"name": "x" * 201}, "name: 201 characters"),
        ({"name": "Taken"}, "name: there is a rule named Taken already."),
        ({"description": "x" * 10_001}, "description: 10,001 characters"),
        ({"severity": "critical"}, "severity: Input should be 'low', 'medium' or 'high'."),
        ({"severity": 3}, "severity: "),
        ({"condition": None}, "condition: "),
        ({"condition": {"timeWindow": "5m"}}, "condition.threshold: Field required."),
        ({"condition": {"threshold": 5}}, "condition.timeWindow: Field required."),
        ({"condition": {**NEW["condition"], "timeWindow": "2h"}}, "condition.timeWindow: Input should be '5m'"),
        ({"condition": {**NEW["condition"], "threshold": 0}}, "condition.threshold: 0 events; it must be from 1"),
        ({"condition": {**NEW["condition"], "threshold": 2.5}}, "condition.threshold: "),
        ({"condition": {**NEW["condition"], "threshold": True}}, "condition.threshold: "),
        ({"condition": {**NEW["condition"], "agentIds": "ag_1"}}, "condition.agentIds: Input should be a valid list."),
        ({"condition": {**NEW["condition"], "agentIds": [""]}}, "condition.agentIds: '': it is empty."),
        ({"condition": {**NEW["condition"], "scopes": ["s"] * 101}}, "condition.scopes: 101 of them"),
        ({"condition": {**NEW["condition"], "metric": "x"}}, "condition.metric: Extra inputs are not permitted."),
        ({"alertChannels": ["nowhere"]}, "alertChannels: there is no channel nowhere."),
        ({"alertChannels": ["a\x00"]}, "alertChannels: 'a\\x00': it is no text."),
        ({"enabled": True}, "enabled: Extra inputs are not permitted."),
    ],
)
def test_what_is_wrong_is_400_naming_the_field_and_nothing_is_made(
    call: Call, changes: dict[str, Any], said: str
) -> None:
    call("POST", PATH, {**NEW, "ruleId": "other", "name": "Taken"})
    assert error(call("POST", PATH, {**NEW, **changes}), 400, "BAD_REQUEST").startswith(said)
    assert Rule.objects.get().public_id == "other"


@pytest.mark.parametrize("missing", ["ruleId", "name", "condition"])
def test_what_is_missing_is_400_naming_it(call: Call, missing: str) -> None:
    body = {name: value for name, value in NEW.items() if name != missing}
    assert error(call("POST", PATH, body), 400, "BAD_REQUEST") == f"{missing}: Field required."


def test_no_body_is_400(call: Call) -> None:
    error(call("POST", PATH), 400, "BAD_REQUEST")


def test_channels_are_named_by_id_or_by_name(call: Call) -> None:
    first, second = channel(name="Desk"), channel(name="Pager")
    body = {**NEW, "alertChannels": ["Desk", second.public_id]}
    told = call("POST", PATH, body).json()
    assert told["alertChannels"] == [first.public_id, second.public_id]
    assert call("POST", PATH, body).json() == told
    error(call("POST", PATH, {**body, "alertChannels": ["Desk"]}), 409, "CONFLICT")


def test_a_deleted_channel_is_none(call: Call) -> None:
    gone = channel()
    channels.delete(gone, by=Actor("ana"), at=make.NOW)
    said = error(call("POST", PATH, {**NEW, "alertChannels": [gone.public_id]}), 400, "BAD_REQUEST")
    assert said == f"alertChannels: there is no channel {gone.public_id}."


def test_a_rule_is_switched_off_and_on(call: Call) -> None:
    call("POST", PATH, NEW)
    path = f"{PATH}/{NEW['ruleId']}"
    for enabled in (False, False, True):
        answer = call("PATCH", path, {"enabled": enabled})
        assert (answer.status_code, answer.json()) == (200, golden(enabled=enabled))
        assert made(call) == [golden(enabled=enabled)]
    assert Change.objects.filter(subject_type="rule", action="changed").count() == 2


def test_a_built_in_rule_is_switched_off_and_keeps_its_parameters(call: Call) -> None:
    settings = detectors.settings_of("off_hours_activity")
    DetectorSettings.objects.filter(pk=settings.pk).update(parameters={"min_events": 7})
    for enabled in (False, False, True):
        told = call("PATCH", f"{PATH}/off_hours_activity", {"enabled": enabled}).json()
        assert (told["ruleId"], told["enabled"], told["builtIn"]) == ("off_hours_activity", enabled, True)
        settings.refresh_from_db()
        assert (settings.enabled, settings.parameters) == (enabled, {"min_events": 7})
        assert told in call("GET", PATH).json()["rules"]
    entries = Change.objects.filter(subject_type="detector").order_by("id")
    assert [each.changes for each in entries] == [{"enabled": [True, False]}, {"enabled": [False, True]}]


@pytest.mark.parametrize("body", [b"", {}, {"enabled": "no"}, {"enabled": None}, {"enabled": False, "threshold": 5}])
@pytest.mark.parametrize("rule_id", ["rate_spike", "billing_agent_write_surge"])
def test_a_bad_switch_is_400_and_switches_nothing(call: Call, body: object, rule_id: str) -> None:
    call("POST", PATH, NEW)
    error(call("PATCH", f"{PATH}/{rule_id}", body), 400, "BAD_REQUEST")
    assert all(each["enabled"] for each in call("GET", PATH).json()["rules"])


def test_deleting_ends_a_rule_once(call: Call) -> None:
    call("POST", PATH, NEW)
    path = f"{PATH}/{NEW['ruleId']}"
    assert (call("DELETE", path).status_code, made(call)) == (204, [])
    assert "no rule" in error(call("DELETE", path), 404, "NOT_FOUND")
    assert "no rule" in error(call("PATCH", path, {"enabled": True}), 404, "NOT_FOUND")


def test_a_built_in_rule_is_switched_by_keys_that_administer_alone(call: Call) -> None:
    key = make.api_key("review", name="reviewer")
    said = error(call("PATCH", f"{PATH}/rate_spike", {"enabled": False}, key=key), 403, "FORBIDDEN")
    assert said == "The key reviewer lacks the scope admin; it has review."
    assert detectors.is_enabled("rate_spike")
    call("POST", PATH, NEW)
    assert call("PATCH", f"{PATH}/{NEW['ruleId']}", {"enabled": False}, key=key).status_code == 200


def test_a_built_in_rule_is_not_deleted(call: Call) -> None:
    said = error(call("DELETE", f"{PATH}/rate_spike"), 400, "BAD_REQUEST")
    assert said == "ruleId: rate_spike is built in; it can be switched off, not deleted."


@pytest.mark.parametrize("rule_id", ["unknown", "a%2Fb", "%00", "x" * 500])
def test_an_unknown_rule_is_404(call: Call, rule_id: str) -> None:
    error(call("PATCH", f"{PATH}/{rule_id}", {"enabled": True}), 404, "NOT_FOUND")
    error(call("DELETE", f"{PATH}/{rule_id}"), 404, "NOT_FOUND")


def test_an_id_with_slashes_survives_its_encoding(call: Call) -> None:
    call("POST", PATH, {**NEW, "ruleId": "team/rule one"})
    assert call("PATCH", f"{PATH}/team%2Frule%20one", {"enabled": False}).json()["ruleId"] == "team/rule one"


def test_the_list_takes_as_many_queries_for_twenty_as_for_one(
    call: Call, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        call("POST", PATH, {**NEW, "ruleId": f"rule_{number}", "name": f"Rule {number}"})
    with django_assert_num_queries(3):  # the key, what detectors are set to, the rules
        assert len(made(call)) == 20

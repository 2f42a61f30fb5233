"""api/grantex_v1/agents."""

from typing import Any

import pytest

from anomalies.models import Agent, Event
from tests import make
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import ENTRY, error

pytestmark = pytest.mark.django_db


def test_an_agent_is_registered_as_documented(call: Call) -> None:
    answer = call("POST", "/v1/agents", {"name": "Billing", "description": "pays", "scopes": ["invoices:read"]})
    assert answer.status_code == 201
    agent = answer.json()
    assert agent == {
        "agentId": agent["agentId"],
        "did": f"did:grantex:{agent['agentId']}",
        "developerId": "ci",
        "name": "Billing",
        "description": "pays",
        "scopes": ["invoices:read"],
        "status": "active",
        "createdAt": agent["createdAt"],
        "updatedAt": agent["createdAt"],
    }
    assert call("GET", f"/v1/agents/{agent['agentId']}").json() == agent
    assert call("GET", "/v1/agents").json() == {"agents": [agent]}


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_an_agent_is_changed_in_what_is_named(call: Call, method: str) -> None:
    agent = call("POST", "/v1/agents", {"name": "Billing", "scopes": ["a"]}).json()
    changed = call(method, f"/v1/agents/{agent['agentId']}", {"description": "pays", "status": "suspended"}).json()
    assert changed == {**agent, "description": "pays", "status": "suspended", "updatedAt": changed["updatedAt"]}


def test_a_deleted_agent_is_gone_and_its_events_stay(call: Call) -> None:
    event = make.event()
    path = f"/v1/agents/{event.agent_id}"
    answer = call("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        error(call(method, path, {}), 404, "NOT_FOUND")
    assert call("GET", "/v1/agents").json() == {"agents": []}
    assert Event.objects.count() == 1


def test_agents_known_only_from_events_are_listed(call: Call) -> None:
    call("POST", "/v1/audit/log", ENTRY)
    (agent,) = call("GET", "/v1/agents").json()["agents"]
    assert (agent["agentId"], agent["name"], agent["developerId"]) == ("ag_billing", "ag_billing", "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "name: Field required."),
        ({"name": ""}, "name: String should have at least 1 character."),
        ({"name": "x" * 201}, "name: String should have at most 200 characters."),
        ({"name": "a", "scopes": "all"}, "scopes: Input should be a valid list."),
        ({"name": "a", "scopes": ["a", 5]}, "scopes.1: Input should be a valid string."),
        ({"name": "a", "scopes": ["\x00"]}, "scopes.0: it contains a NUL character, which cannot be stored."),
        ({"name": "a", "status": "odd"}, "status: Input should be 'active', 'suspended' or 'revoked'."),
        ({"name": "a", "description": None}, "description: Input should be a valid string."),
    ],
)
def test_a_bad_agent_is_422_naming_the_field(call: Call, body: object, said: str) -> None:
    assert error(call("POST", "/v1/agents", body), 422, "VALIDATION_ERROR").startswith(said)
    assert not Agent.objects.exists()


@pytest.mark.parametrize("path_id", ["ag_unknown", "%00", "a%2Fb", "..%2Fanomalies"])
def test_an_unknown_agent_is_404(call: Call, path_id: str) -> None:
    assert "no agent" in error(call("GET", f"/v1/agents/{path_id}"), 404, "NOT_FOUND")


def test_the_agents_cost_the_same_queries_for_any_number(call: Call, django_assert_num_queries: Any) -> None:
    call("GET", "/v1/agents")
    for number in range(30):
        make.agent(f"ag_{number}")
    with django_assert_num_queries(2):  # the key, the agents
        assert len(call("GET", "/v1/agents").json()["agents"]) == 30

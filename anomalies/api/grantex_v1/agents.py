"""Agents: those that were registered here and those known from their events."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Body, Router
from pydantic import Field

from anomalies.api.auth import ApiKeyAuth, caller
from anomalies.api.bodies import encoded, json_answer
from anomalies.api.errors import CamelSchema, Error, exemplified
from anomalies.api.grantex_v1.answers import NO_NUL, path_id
from anomalies.models import Agent, ApiKey
from anomalies.services import access
from anomalies.services.audit import wire_time

READ, REVIEW = ApiKeyAuth(ApiKey.Scope.READ), ApiKeyAuth(ApiKey.Scope.REVIEW)

Name = Annotated[str, Field(min_length=1, max_length=200), NO_NUL]
Description = Annotated[str, Field(max_length=10_000), NO_NUL]
Scopes = Annotated[list[Annotated[str, Field(min_length=1, max_length=200), NO_NUL]], Field(max_length=1000)]
Status = Literal["active", "suspended", "revoked"]

router = Router(tags=["Agents"], by_alias=True)

_GIVEN = {"name": "Billing", "description": "Reads invoices", "scopes": ["invoice:read"]}
EXAMPLE: dict[str, Any] = {
    "agentId": "ag_01JD3W2Q7M5X9K4T8R6B1Y0ZVN",
    "did": "did:grantex:ag_01JD3W2Q7M5X9K4T8R6B1Y0ZVN",
    "developerId": "ci",
    **_GIVEN,
    "status": "active",
    "createdAt": "2026-11-20T12:00:00.000Z",
    "updatedAt": "2026-11-20T12:00:00.000Z",
}


class AgentAnswer(CamelSchema):
    agent_id: str
    did: str
    developer_id: str
    name: str
    description: str
    scopes: list[str]
    status: str
    created_at: datetime
    updated_at: datetime

    model_config = exemplified(EXAMPLE)


class AgentList(CamelSchema):
    agents: list[AgentAnswer]


class NewAgent(CamelSchema):
    name: Name
    description: Description = ""
    scopes: Scopes = []
    status: Status = "active"

    model_config = exemplified(_GIVEN)


class AgentChanges(CamelSchema):
    name: Name | None = None
    description: Description | None = None
    scopes: Scopes | None = None
    status: Status | None = None

    model_config = exemplified({"status": "suspended"})


def to_wire(agent: Agent) -> dict[str, Any]:
    """The agent as Grantex spells it; one known from its events alone has its id for a name and no developer."""
    return {
        "agentId": agent.public_id,
        "did": agent.did,
        "developerId": agent.registered_by,
        "name": agent.name or agent.public_id,
        "description": agent.description,
        "scopes": agent.scopes,
        "status": agent.status,
        "createdAt": wire_time(agent.created_at),
        "updatedAt": wire_time(agent.updated_at),
    }


def _agent(agent_id: str) -> Agent:
    agent = Agent.objects.filter(public_id=path_id(agent_id), deleted_at__isnull=True).first()
    if agent is None:
        raise Http404(f"There is no agent {agent_id}.")
    return agent


@router.post("/agents", auth=REVIEW, response={201: AgentAnswer, 422: Error})
def register(request: HttpRequest, agent: NewAgent) -> HttpResponse:
    """Register an agent."""
    made = access.register_agent(
        name=agent.name,
        description=agent.description,
        scopes=agent.scopes,
        status=agent.status,
        by=caller(request),
        at=timezone.now(),
    )
    return json_answer(to_wire(made), status=201)


@router.get("/agents", auth=READ, response=AgentList)
def list_agents(request: HttpRequest) -> HttpResponse:
    """Return all agents, also those known from their events alone, oldest first."""
    agents = Agent.objects.filter(deleted_at__isnull=True).order_by("id")
    return json_answer({"agents": encoded(to_wire(agent) for agent in agents.iterator())})


@router.get("/agents/{path:agent_id}", auth=READ, response={200: AgentAnswer, 404: Error})
def get_agent(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Return one agent."""
    return json_answer(to_wire(_agent(agent_id)))


@router.api_operation(
    ["PATCH", "POST"], "/agents/{path:agent_id}", auth=REVIEW, response={200: AgentAnswer, 404: Error, 422: Error}
)
def update_agent(request: HttpRequest, agent_id: str, changes: Body[AgentChanges | None] = None) -> HttpResponse:
    """Change what the body names and leave the rest."""
    agent = _agent(agent_id)
    wanted = changes.dict(exclude_unset=True) if changes else {}
    try:
        access.update_agent(agent, by=caller(request), at=timezone.now(), **wanted)
    except access.AgentGoneError as error:
        raise Http404(str(error)) from None
    return json_answer(to_wire(agent))


@router.delete("/agents/{path:agent_id}", auth=REVIEW, response={204: None, 404: Error})
def delete_agent(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Take an agent off the list. Its events and anomalies stay."""
    try:
        access.delete_agent(_agent(agent_id), by=caller(request), at=timezone.now())
    except access.AgentGoneError as error:
        raise Http404(str(error)) from None
    return HttpResponse(status=204)

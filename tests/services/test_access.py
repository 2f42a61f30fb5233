"""services/access: agents, grants, and the response to a rate spike."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet

from anomalies.models import Agent, Anomaly, Grant, ResponsePolicy, ReviewEntry
from anomalies.services import access
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db

BY = Actor(name="ci")
LATER = make.NOW + timedelta(hours=1)


def test_a_registered_agent_says_who_made_it_and_when() -> None:
    agent = access.register_agent(name="Billing", scopes=["invoices:read"], by=BY, at=make.NOW)
    agent.refresh_from_db()
    assert agent.public_id.startswith("ag_")
    assert (agent.name, agent.scopes, agent.status) == ("Billing", ["invoices:read"], "active")
    assert (agent.registered_by, agent.registered_at, agent.updated_at) == ("ci", make.NOW, make.NOW)


def test_an_update_changes_only_what_is_given() -> None:
    agent = access.register_agent(name="Billing", description="pays", scopes=["a"], by=BY, at=make.NOW)
    access.update_agent(agent, description="", by=Actor(name="ops"), at=LATER)
    assert (agent.name, agent.description, agent.scopes) == ("Billing", "", ["a"])
    assert (agent.updated_at, agent.updated_by, agent.registered_by) == (LATER, "ops", "ci")


def test_a_deleted_agent_keeps_its_events_and_takes_no_change() -> None:
    agent = make.event().agent
    access.delete_agent(agent, by=BY, at=make.NOW)
    assert agent.deleted_at == make.NOW
    assert agent.events.count() == 1
    with pytest.raises(access.AgentGoneError, match="ag_billing is deleted"):
        access.update_agent(agent, name="x", by=BY, at=make.NOW)
    with pytest.raises(access.AgentGoneError):
        access.delete_agent(agent, by=BY, at=make.NOW)


def test_revoke_ends_a_grant_once() -> None:
    grant = make.grant()
    access.revoke_grant(grant, by=BY, at=make.NOW)
    assert (grant.status, grant.revoked_at, grant.revoked_by) == ("revoked", make.NOW, "ci")
    with pytest.raises(access.GrantNotActiveError, match="grnt_1 is already revoked"):
        access.revoke_grant(grant, by=Actor(name="ops"), at=LATER)
    assert (grant.revoked_at, grant.revoked_by) == (make.NOW, "ci")


def test_the_mode_starts_at_alert_only_and_remembers_who_changed_it() -> None:
    assert access.response_mode() == "alert_only"
    access.set_response_mode("revoke_agent_grants", by=BY, at=make.NOW)
    access.set_response_mode("alert_only", by=Actor(name="ops"), at=LATER)
    policy = ResponsePolicy.objects.get()
    assert (policy.mode, policy.updated_by, policy.updated_at) == ("alert_only", "ops", LATER)


def test_an_unknown_mode_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(access.UnknownModeError, match="mode: one of alert_only, revoke_agent_grants"):
        access.set_response_mode("panic", by=BY, at=make.NOW)


def _spike(**fields: object) -> Anomaly:
    return make.anomaly(**fields)


def test_alert_only_revokes_nothing() -> None:
    make.grant()
    spike = _spike()
    assert access.respond(spike.scan, by=BY, at=make.NOW) == 0
    assert Grant.objects.get().status == "active"


def test_revoke_mode_revokes_the_active_grants_of_the_agent_and_says_so() -> None:
    access.set_response_mode("revoke_agent_grants", by=BY, at=make.NOW)
    spike = _spike()
    make.grant("grnt_1")
    make.grant("grnt_2", expires_at=LATER)
    make.grant("grnt_over", expires_at=make.NOW)
    make.grant("grnt_gone", status="revoked", revoked_at=make.NOW - timedelta(days=1))
    make.grant("grnt_other", agent_id="ag_other")
    assert access.respond(spike.scan, by=BY, at=make.NOW) == 2
    revoked = Grant.objects.filter(revoked_at=make.NOW, revoked_by="ci").order_by("public_id")
    assert [grant.public_id for grant in revoked] == ["grnt_1", "grnt_2"]
    note = ReviewEntry.objects.get()
    assert (note.anomaly, note.action, note.actor) == (spike, "noted", "ci")
    assert note.note == "Response policy revoke_agent_grants: revoked 2 of its grants: grnt_1, grnt_2."


def test_responding_twice_revokes_once() -> None:
    access.set_response_mode("revoke_agent_grants", by=BY, at=make.NOW)
    spike = _spike()
    make.grant()
    assert [access.respond(spike.scan, by=BY, at=make.NOW) for _ in range(2)] == [1, 0]
    assert ReviewEntry.objects.count() == 1


@pytest.mark.parametrize("fields", [{"type": "new_principal"}, {"kind": "address", "entity": "192.0.2.1"}])
def test_only_an_agents_own_rate_spike_revokes(fields: dict[str, str]) -> None:
    access.set_response_mode("revoke_agent_grants", by=BY, at=make.NOW)
    make.grant()
    assert access.respond(_spike(**fields).scan, by=BY, at=make.NOW) == 0


def test_a_spike_of_an_earlier_scan_revokes_nothing() -> None:
    access.set_response_mode("revoke_agent_grants", by=BY, at=make.NOW)
    _spike()
    make.grant()
    assert access.respond(make.scan(), by=BY, at=make.NOW) == 0


def test_a_note_about_many_grants_counts_those_it_does_not_name() -> None:
    access.set_response_mode("revoke_agent_grants", by=BY, at=make.NOW)
    spike = _spike()
    for number in range(23):
        make.grant(f"grnt_{number:02}")
    assert access.respond(spike.scan, by=BY, at=make.NOW) == 23
    assert ReviewEntry.objects.get().note.endswith("grnt_18, grnt_19 and 3 more.")


def test_agents_known_from_events_alone_have_no_registrar() -> None:
    assert make.agent().registered_by == ""
    assert Agent.objects.get().did == "did:grantex:ag_billing"


@pytest.mark.django_db(transaction=True)
def test_a_response_and_somebody_who_revokes_a_grant_with_its_parts_do_not_wait_in_a_ring(
    in_turn: Callable[[QuerySet[Any], Sequence[Callable[[], object]]], list[object]],
) -> None:
    access.set_response_mode("revoke_agent_grants", by=BY, at=make.NOW)
    spike = _spike()
    whole = make.grant("grnt_whole", pk=10**6)
    part = make.grant("grnt_part", parent=whole, delegation_depth=1)
    assert part.pk < whole.pk
    done = in_turn(
        Grant.objects.filter(pk=part.pk),
        [
            lambda: access.respond(spike.scan, by=BY, at=make.NOW),
            lambda: _refusal(lambda: access.revoke_grant(whole, by=Actor("ana"), at=make.NOW)),
        ],
    )
    assert done == [2, access.GrantNotActiveError]
    assert set(Grant.objects.values_list("status", "revoked_by")) == {("revoked", "ci")}


def _refusal(call: Callable[[], object]) -> type[access.AccessError] | None:
    try:
        call()
    except access.AccessError as error:
        return type(error)
    return None

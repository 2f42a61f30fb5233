"""api/grantex_v1/grants: listed, read, taken back, passed on in parts."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from anomalies.models import Change, Connection, Grant, Revocation
from anomalies.services import revocations
from tests import make
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import error, fetched

pytestmark = pytest.mark.django_db


def _ids(answer: Any) -> list[str]:
    assert answer.status_code == 200
    return [grant["grantId"] for grant in answer.json()["grants"]]


def test_a_grant_is_as_documented(call: Call) -> None:
    make.grant(
        principal=make.principal(), scopes=["invoices:read"], expires_at=make.NOW + timedelta(days=3650), issued_by="ci"
    )
    grant = {
        "grantId": "grnt_1",
        "agentId": "ag_billing",
        "principalId": "user_1",
        "developerId": "ci",
        "scopes": ["invoices:read"],
        "status": "active",
        "issuedAt": "2026-11-20T12:00:00.000Z",
        "expiresAt": "2036-11-17T12:00:00.000Z",
        "delegationDepth": 0,
    }
    assert call("GET", "/v1/grants/grnt_1").json() == grant
    assert call("GET", "/v1/grants").json() == {"grants": [grant]}
    assert list(call("GET", "/v1/grants/grnt_1").json()) == list(grant)


def test_a_grant_of_an_access_request_has_no_agent(call: Call) -> None:
    grant = make.request_grant()
    told = call("GET", f"/v1/grants/{grant.public_id}").json()
    assert (told["agentId"], told["principalId"], told["developerId"], told["expiresAt"]) == (None, "user_1", "", None)


def test_a_revoked_grant_is_still_there_and_revoked_once(call: Call) -> None:
    make.grant()
    answer = call("DELETE", "/v1/grants/grnt_1")
    assert (answer.status_code, answer.content) == (204, b"")
    told = call("GET", "/v1/grants/grnt_1").json()
    assert (told["status"], told["revokedAt"][-1], list(told)[-2]) == ("revoked", "Z", "revokedAt")
    assert error(call("DELETE", "/v1/grants/grnt_1"), 404, "NOT_FOUND") == "The grant grnt_1 is already revoked."
    assert Grant.objects.get().revoked_by == "ci"
    assert [(one.action, one.actor) for one in Change.objects.filter(subject_type="grant")] == [("revoked", "ci")]


def test_an_expired_grant_has_nothing_to_revoke(call: Call) -> None:
    make.grant(status="expired")
    assert "already expired" in error(call("DELETE", "/v1/grants/grnt_1"), 404, "NOT_FOUND")


@pytest.mark.parametrize("path_id", ["grnt_unknown", "%00", "a%2Fb"])
def test_an_unknown_grant_is_404(call: Call, path_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert "no grant" in error(call(method, f"/v1/grants/{path_id}"), 404, "NOT_FOUND")


def test_a_grant_of_which_an_integration_is_asked_first_stands_until_it_answered(call: Call) -> None:
    Connection.objects.create(integration="", url="https://hooks.example/", updated_by="boss")
    make.grant()
    for _ in range(2):  # whose answer was lost asks again
        assert call("DELETE", "/v1/grants/grnt_1").status_code == 204
        assert call("GET", "/v1/grants/grnt_1").json()["status"] == "active"
    assert Revocation.objects.get().state == "pending"
    Connection.objects.update(enabled=False)
    revocations.call_due(clock=timezone.now, until=timezone.now() + timedelta(seconds=1))
    assert call("GET", "/v1/grants/grnt_1").json()["status"] == "active"  # it was refused
    assert Revocation.objects.get().state == "refused"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["grnt_4", "grnt_3", "grnt_2", "grnt_1"]),
        ("agentId=ag_billing", ["grnt_4", "grnt_2", "grnt_1"]),
        ("agentId=ag_unknown", []),
        ("principalId=user_1", ["grnt_4", "grnt_3"]),
        ("status=active", ["grnt_3", "grnt_1"]),
        ("status=revoked", ["grnt_2"]),
        ("status=expired", ["grnt_4"]),
        ("agentId=ag_billing&principalId=user_1&status=expired", ["grnt_4"]),
        ("page=2&pageSize=3", ["grnt_1"]),
        ("pageSize=1", ["grnt_4"]),
        ("page=2", []),
    ],
)
def test_grants_are_filtered_and_paged(call: Call, query: str, ids: list[str]) -> None:
    user = make.principal()
    make.grant("grnt_1")
    make.grant("grnt_2", status="revoked", revoked_at=make.NOW)
    make.grant("grnt_3", "ag_mailer", principal=user)
    make.grant("grnt_4", principal=user, expires_at=make.NOW - timedelta(days=3650))
    assert _ids(call("GET", f"/v1/grants?{query}")) == ids


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=odd", "status"),
        ("status=", "status"),
        ("agentId=", "agentId"),
        ("principalId=%00", "principalId"),
        ("page=0", "page"),
        ("pageSize=1001", "pageSize"),
        ("pageSize=x", "pageSize"),
    ],
)
def test_a_bad_parameter_is_400_naming_it(call: Call, query: str, field: str) -> None:
    assert error(call("GET", f"/v1/grants?{query}"), 400, "BAD_REQUEST").startswith(f"{field}: ")


def test_the_grants_cost_the_same_queries_for_any_number(call: Call, django_assert_num_queries: Any) -> None:
    for number in range(30):
        parent = make.grant(f"grnt_{number}")
        make.grant(f"part_{number}", parent=parent, delegation_depth=1)
    with django_assert_num_queries(3):  # the key, which grants these are, and they
        assert len(_ids(call("GET", "/v1/grants"))) == 60


def test_a_delegated_grant_says_of_which_it_is_and_ends_with_it(call: Call) -> None:
    parent = fetched(call)
    make.agent("ag_mailer")
    wanted = {
        "parentGrantToken": parent["grantToken"], "subAgentId": "ag_mailer", "scopes": ["invoices:read"],
        "expiresIn": "30m",
    }  # fmt: skip
    first, second = (call("POST", "/v1/grants/delegate", wanted) for _ in range(2))
    assert first.status_code == 201
    part = first.json()
    assert list(part) == ["grantToken", "grantId", "scopes", "expiresAt"]
    assert second.json() == part  # whose answer was lost asks again
    told = call("GET", f"/v1/grants/{part['grantId']}").json()
    assert (told["agentId"], told["parentGrantId"], told["delegationDepth"]) == ("ag_mailer", parent["grantId"], 1)
    assert call("DELETE", f"/v1/grants/{parent['grantId']}").status_code == 204
    for grant in (parent, part):
        assert call("GET", f"/v1/grants/{grant['grantId']}").json()["status"] == "revoked"
        assert call("POST", "/v1/grants/verify", {"token": grant["grantToken"]}).json() == {
            "active": False, "reason": "revoked",
        }  # fmt: skip
    assert "its grant is revoked" in error(call("POST", "/v1/grants/delegate", wanted), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"scopes": ["invoices:pay"]}, 400, "scopes: the grant does not have invoices:pay."),
        ({"parentGrantToken": "nonsense"}, 400, "parentGrantToken: it is none of a grant issued here."),
        ({"expiresIn": "soon"}, 400, "expiresIn: it is such as 24h"),
        ({"subAgentId": "ag_unknown"}, 404, "There is no active agent ag_unknown."),
        ({"scopes": []}, 422, "scopes: "),
        ({"subAgentId": None}, 422, "subAgentId: "),
    ],
)
def test_a_bad_delegation_names_the_field_and_changes_nothing(
    call: Call, changes: dict[str, Any], status: int, said: str
) -> None:
    make.agent("ag_mailer")
    wanted = {
        "parentGrantToken": fetched(call)["grantToken"], "subAgentId": "ag_mailer", "scopes": ["invoices:read"],
        **changes,
    }  # fmt: skip
    answer = call("POST", "/v1/grants/delegate", wanted)
    assert answer.status_code == status
    assert answer.json()["message"].startswith(said)
    assert Grant.objects.count() == 1


def test_a_token_tells_of_its_grant_here_alone(call: Call) -> None:
    issued = fetched(call)
    verified = call("POST", "/v1/grants/verify", {"token": issued["grantToken"]}).json()
    assert verified["active"] is True
    claims = verified["claims"]
    assert {name: claims[name] for name in ("sub", "agt", "dev", "scp", "grnt", "delegationDepth")} == {
        "sub": "user_1", "agt": "did:grantex:ag_billing", "dev": "ci", "scp": ["invoices:read"],
        "grnt": issued["grantId"], "delegationDepth": 0,
    }  # fmt: skip
    assert claims["exp"] - claims["iat"] == 86400
    unknown = call("POST", "/v1/grants/verify", {"token": "nonsense"})
    assert (unknown.status_code, unknown.json()) == (200, {"active": False, "reason": "not_found"})

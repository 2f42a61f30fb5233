"""api/grantex_v1/tokens: authorized, fetched with the code, refreshed, verified."""

from datetime import timedelta
from typing import Any

import pytest

from anomalies.models import Agent, Authorization, Grant
from tests import make
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import WANTED, authorized, error, fetched

pytestmark = pytest.mark.django_db


def test_an_authorization_is_as_documented(call: Call) -> None:
    make.agent()
    answer = call("POST", "/v1/authorize", WANTED)
    assert answer.status_code == 201
    told = answer.json()
    authorization = Authorization.objects.get()
    assert told == {
        "authRequestId": authorization.public_id,
        "consentUrl": "http://127.0.0.1:8000/agents/ag_billing/",
        "expiresAt": told["expiresAt"],
        "code": told["code"],
        "agentId": "ag_billing",
        "principalId": "user_1",
        "scopes": ["invoices:read"],
        "expiresIn": "24h",
        "status": "approved",
        "createdAt": told["createdAt"],
    }
    assert told["authRequestId"].startswith("areq_")
    assert told["expiresAt"].endswith("Z")
    assert authorization.expires_at - authorization.created_at == timedelta(minutes=10)
    assert not Grant.objects.exists()


def test_a_grant_is_fetched_as_documented_and_once(call: Call) -> None:
    code = authorized(call)["code"]
    first, second = (call("POST", "/v1/token", {"code": code, "agentId": "ag_billing"}) for _ in range(2))
    assert first.status_code == second.status_code == 201
    grant = Grant.objects.get()
    assert list(first.json()) == ["grantToken", "refreshToken", "grantId", "scopes", "expiresAt"]
    assert (first.json()["grantId"], first.json()["scopes"]) == (grant.public_id, ["invoices:read"])
    assert second.json() == first.json()


def test_a_code_that_is_over_or_anothers_is_400(call: Call) -> None:
    code = authorized(call)["code"]
    body = {"code": code, "agentId": "ag_billing"}
    other = make.api_key("review", name="other")
    assert error(call("POST", "/v1/token", body, key=other), 400, "BAD_REQUEST").startswith("code: ")
    Authorization.objects.update(expires_at=make.NOW - timedelta(days=3650))
    assert error(call("POST", "/v1/token", body), 400, "BAD_REQUEST").startswith("code: it was good until ")
    assert not Grant.objects.exists()


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"agentId": "ag_unknown"}, 404, "There is no active agent ag_unknown."),
        ({"expiresIn": "1y"}, 400, "expiresIn: it is such as 24h"),
        ({"agentId": ""}, 422, "agentId: "),
        ({"principalId": "\x00"}, 422, "principalId: it contains a NUL character"),
        ({"scopes": []}, 422, "scopes: "),
        ({"scopes": [""]}, 422, "scopes.0: "),
        ({"scopes": "read"}, 422, "scopes: "),
        ({"codeChallenge": "x" * 43}, 422, "body: codeChallenge and codeChallengeMethod: both or none."),
        ({"codeChallenge": "x", "codeChallengeMethod": "S256"}, 422, "codeChallenge: "),
        ({"codeChallenge": "x" * 43, "codeChallengeMethod": "plain"}, 422, "codeChallengeMethod: "),
    ],
)
def test_a_bad_authorization_names_the_field_and_changes_nothing(
    call: Call, changes: dict[str, Any], status: int, said: str
) -> None:
    make.agent()
    answer = call("POST", "/v1/authorize", {**WANTED, **changes})
    assert answer.status_code == status
    assert answer.json()["message"].startswith(said)
    assert not Authorization.objects.exists()


def test_an_agent_that_is_suspended_gets_none(call: Call) -> None:
    make.agent(status=Agent.Status.SUSPENDED)
    assert "ag_billing is suspended" in error(call("POST", "/v1/authorize", WANTED), 400, "BAD_REQUEST")


def test_a_grant_is_refreshed(call: Call) -> None:
    issued = fetched(call)
    Grant.objects.update(expires_at=Grant.objects.get().expires_at - timedelta(hours=1))
    answer = call("POST", "/v1/token/refresh", {"refreshToken": issued["refreshToken"], "agentId": "ag_billing"})
    assert answer.status_code == 201
    assert {**answer.json(), "expiresAt": ""} == {**issued, "expiresAt": ""}
    assert answer.json()["expiresAt"] >= issued["expiresAt"]
    wrong = {"refreshToken": issued["grantToken"], "agentId": "ag_billing"}
    assert error(call("POST", "/v1/token/refresh", wrong), 400, "BAD_REQUEST").startswith("refreshToken: ")


def test_a_token_is_verified_until_its_grant_ends(call: Call) -> None:
    issued = fetched(call)
    assert call("POST", "/v1/tokens/verify", {"token": issued["grantToken"]}).json() == {
        "valid": True,
        "grantId": issued["grantId"],
        "scopes": ["invoices:read"],
        "principal": "user_1",
        "agent": "did:grantex:ag_billing",
        "expiresAt": issued["expiresAt"],
    }
    call("DELETE", f"/v1/grants/{issued['grantId']}")
    for token in (issued["grantToken"], "nonsense"):
        assert call("POST", "/v1/tokens/verify", {"token": token}).json() == {"valid": False}


def test_a_token_of_an_agent_that_is_suspended_or_gone_says_nothing(call: Call) -> None:
    issued = fetched(call)
    make.agent("ag_mailer")
    token = issued["grantToken"]
    for changed, refused in (
        ({"status": Agent.Status.SUSPENDED}, 400),
        ({"status": "active", "deleted_at": make.NOW}, 404),
    ):
        Agent.objects.filter(public_id="ag_billing").update(**changed)
        assert call("POST", "/v1/tokens/verify", {"token": token}).json() == {"valid": False}
        verified = call("POST", "/v1/grants/verify", {"token": token}).json()
        assert verified == {"active": False, "reason": "agent_not_active"}
        part = {"parentGrantToken": token, "subAgentId": "ag_mailer", "scopes": ["invoices:read"]}
        said = error(call("POST", "/v1/grants/delegate", part), 400, "BAD_REQUEST")
        assert said == "parentGrantToken: its agent is not active."
        refresh = {"refreshToken": issued["refreshToken"], "agentId": "ag_billing"}
        assert call("POST", "/v1/token/refresh", refresh).status_code == refused
    Agent.objects.update(deleted_at=None)
    assert call("POST", "/v1/tokens/verify", {"token": token}).json()["valid"]

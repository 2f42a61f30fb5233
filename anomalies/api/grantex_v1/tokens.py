"""The way to a grant: an agent is authorized, and fetches it with the code."""

from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from ninja.errors import HttpError
from pydantic import Field, model_validator

from anomalies.api.auth import ApiKeyAuth, caller
from anomalies.api.bodies import json_answer
from anomalies.api.errors import CamelSchema, Error, exemplified
from anomalies.api.grantex_v1.agents import EXAMPLE as AGENT
from anomalies.api.grantex_v1.grants import EXAMPLE as GRANT
from anomalies.api.grantex_v1.grants import TOKEN, ExpiresIn, GivenScopes, GrantToken, Id, Token
from anomalies.models import ApiKey, Grant
from anomalies.services import issuing
from anomalies.services.audit import wire_time

READ, REVIEW = ApiKeyAuth(ApiKey.Scope.READ), ApiKeyAuth(ApiKey.Scope.REVIEW)

_WANTED = {"agentId": AGENT["agentId"], "principalId": "user_1", "scopes": AGENT["scopes"]}
AUTHORIZED: dict[str, Any] = {
    "authRequestId": "areq_01JD4W7XQ2E8H4N6P0R3T5V7Y9",
    "consentUrl": f"http://127.0.0.1:8000/agents/{AGENT['agentId']}/",
    "expiresAt": "2026-11-20T12:10:00.000Z",
    "code": "areq_01JD4W7XQ2E8H4N6P0R3T5V7Y9.NAfRJo_9mYYqLdA8IB5Uoe2eLqcUkhhERZ1U6ySy9As",
    **_WANTED,
    "expiresIn": "24h",
    "status": "approved",
    "createdAt": "2026-11-20T12:00:00.000Z",
}
_ISSUED: dict[str, Any] = {
    "grantToken": TOKEN,
    "refreshToken": "areq_01JD4W7XQ2E8H4N6P0R3T5V7Y9.Zbx2d8el1j6hdoUP2imK3knjaM3Boq-h_5t9iUJsnzY",
    "grantId": GRANT["grantId"],
    "scopes": GRANT["scopes"],
    "expiresAt": GRANT["expiresAt"],
}

router = Router(tags=["Grants"], by_alias=True)


class Wanted(CamelSchema):
    """What else clients send, such as `redirectUri` and `state`, is left out of account: nobody is sent anywhere."""

    agent_id: Id
    principal_id: Id
    scopes: GivenScopes
    expires_in: ExpiresIn = "24h"
    code_challenge: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")] | None = None
    code_challenge_method: Literal["S256"] | None = None

    model_config = exemplified(_WANTED)

    @model_validator(mode="after")
    def _are_a_pair(self) -> "Wanted":
        if (self.code_challenge is None) != (self.code_challenge_method is None):
            raise ValueError("codeChallenge and codeChallengeMethod: both or none")
        return self


class Authorized(CamelSchema):
    auth_request_id: str
    consent_url: str
    expires_at: datetime
    code: str
    agent_id: str
    principal_id: str
    scopes: list[str]
    expires_in: str
    status: str
    created_at: datetime

    model_config = exemplified(AUTHORIZED)


class Code(CamelSchema):
    code: Token
    agent_id: Id
    code_verifier: Annotated[str, Field(max_length=128)] = ""

    model_config = exemplified({"code": AUTHORIZED["code"], "agentId": AGENT["agentId"]})


class RefreshToken(CamelSchema):
    refresh_token: Token
    agent_id: Id

    model_config = exemplified({"refreshToken": _ISSUED["refreshToken"], "agentId": AGENT["agentId"]})


class Issued(CamelSchema):
    grant_token: str
    refresh_token: str
    grant_id: str
    scopes: list[str]
    expires_at: datetime

    model_config = exemplified(_ISSUED)


class TokenVerified(CamelSchema):
    valid: bool
    grant_id: str | None = None
    scopes: list[str] | None = None
    principal: str | None = None
    agent: str | None = None
    expires_at: datetime | None = None

    model_config = exemplified(
        {
            "valid": True,
            "grantId": GRANT["grantId"],
            "scopes": GRANT["scopes"],
            "principal": GRANT["principalId"],
            "agent": AGENT["did"],
            "expiresAt": GRANT["expiresAt"],
        }
    )


@router.post("/authorize", auth=REVIEW, response={201: Authorized, (400, 404, 422): Error})
def authorize(request: HttpRequest, wanted: Wanted) -> HttpResponse:
    """Let an active agent fetch a grant within ten minutes.

    Nobody is asked to consent: `consentUrl` is the page on which reviewers see the agent's grants and take them back.
    """
    try:
        authorization = issuing.authorize(
            agent_id=wanted.agent_id,
            principal_id=wanted.principal_id,
            scopes=wanted.scopes,
            life=issuing.life_of(wanted.expires_in),
            code_challenge=wanted.code_challenge or "",
            by=caller(request),
            at=timezone.now(),
        )
    except issuing.UnknownAgentError as error:
        raise Http404(str(error)) from None
    except issuing.IssuingError as error:
        raise HttpError(400, str(error)) from None
    answer = {
        "authRequestId": authorization.public_id,
        "consentUrl": f"{settings.ANOMALIES_PUBLIC_URL}/agents/{quote(authorization.agent_id, safe='')}/",
        "expiresAt": wire_time(authorization.expires_at),
        "code": issuing.code_of(authorization),
        "agentId": authorization.agent_id,
        "principalId": authorization.principal_id,
        "scopes": authorization.scopes,
        "expiresIn": wanted.expires_in,
        "status": "approved",
        "createdAt": wire_time(authorization.created_at),
    }
    return json_answer(answer, status=201)


@router.post("/token", auth=REVIEW, response={201: Issued, (400, 404, 422): Error})
def exchange(request: HttpRequest, wanted: Code) -> HttpResponse:
    """Fetch the grant with its code: one code, one grant.

    A call that is repeated by the same key while the code is good, as clients do whose answer was lost, is answered as
    the first was; after that, or once the grant is revoked, it is a 400.
    """
    try:
        grant = issuing.exchange(
            wanted.code,
            agent_id=wanted.agent_id,
            code_verifier=wanted.code_verifier,
            by=caller(request),
            at=timezone.now(),
        )
    except issuing.UnknownAgentError as error:
        raise Http404(str(error)) from None
    except issuing.IssuingError as error:
        raise HttpError(400, str(error)) from None
    return json_answer(_issued(grant), status=201)


@router.post("/token/refresh", auth=REVIEW, response={201: Issued, (400, 404, 422): Error})
def refresh(request: HttpRequest, wanted: RefreshToken) -> HttpResponse:
    """Let a grant that stands last from now on for as long as it was authorized to. Its tokens stay the same."""
    try:
        grant = issuing.refresh(wanted.refresh_token, agent_id=wanted.agent_id, by=caller(request), at=timezone.now())
    except issuing.UnknownAgentError as error:
        raise Http404(str(error)) from None
    except issuing.IssuingError as error:
        raise HttpError(400, str(error)) from None
    return json_answer(_issued(grant), status=201)


@router.post("/tokens/verify", auth=READ, response={200: TokenVerified, 422: Error})
def verify(request: HttpRequest, wanted: GrantToken) -> HttpResponse:
    """Say whether the grant of a token stands and its agent may act, and whose it is."""
    grant = issuing.grant_of(wanted.token)
    if grant is None or grant.status_at(timezone.now()) != Grant.Status.ACTIVE or not grant.agent_acts:
        return json_answer({"valid": False})
    assert grant.expires_at is not None  # all that are issued here end
    assert grant.agent is not None
    return json_answer(
        {
            "valid": True,
            "grantId": grant.public_id,
            "scopes": grant.scopes,
            "principal": grant.principal_id,
            "agent": grant.agent.did,
            "expiresAt": wire_time(grant.expires_at),
        }
    )


def _issued(grant: Grant) -> dict[str, Any]:
    assert grant.expires_at is not None  # all that are issued here end
    return {
        "grantToken": issuing.token_of(grant),
        "refreshToken": issuing.refresh_token_of(grant),
        "grantId": grant.public_id,
        "scopes": grant.scopes,
        "expiresAt": wire_time(grant.expires_at),
    }

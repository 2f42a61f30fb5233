"""Grants: listed, taken back, and passed on in parts."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from ninja import Query, Router
from ninja.errors import HttpError
from pydantic import Field

from anomalies.api.auth import ApiKeyAuth, caller
from anomalies.api.bodies import json_answer, streamed
from anomalies.api.errors import CamelSchema, Error, exemplified
from anomalies.api.grantex_v1.agents import EXAMPLE as AGENT
from anomalies.api.grantex_v1.answers import NO_NUL, path_id
from anomalies.models import ApiKey, Grant
from anomalies.services import access, issuing, revocations
from anomalies.services.audit import wire_time
from anomalies.services.parts import each_once

READ, REVIEW = ApiKeyAuth(ApiKey.Scope.READ), ApiKeyAuth(ApiKey.Scope.REVIEW)

PAGE_SIZE = 100  # of a client that names a page and no size; one that names neither gets all grants

Id = Annotated[str, Field(min_length=1, max_length=200), NO_NUL]
Token = Annotated[str, Field(min_length=1, max_length=1000)]
GivenScopes = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200), NO_NUL]], Field(min_length=1, max_length=1000)
]
ExpiresIn = Annotated[str, Field(max_length=10, description="Such as 24h, 30m or 7d")]

EXAMPLE: dict[str, Any] = {
    "grantId": "grnt_01JD4W7Y3V9M0Q6S8T2N5R4K1B",
    "agentId": AGENT["agentId"],
    "principalId": "user_1",
    "developerId": "ci",
    "scopes": AGENT["scopes"],
    "status": "active",
    "issuedAt": "2026-11-20T12:00:00.000Z",
    "expiresAt": "2026-11-21T12:00:00.000Z",
    "delegationDepth": 0,
}
TOKEN = "grnt_01JD4W7Y3V9M0Q6S8T2N5R4K1B.dvpzX-nl3nxKWZLKswx5bxYiKPbMPq5W2un8GbQYLXI"  # noqa: S105  of an example
OTHER_AGENT = "ag_01JD3W5H1C8N2S6V9Z4F7L0QGA"
_VERIFIED = {
    "active": True,
    "claims": {
        "iss": "http://127.0.0.1:8000",
        "sub": "user_1",
        "agt": AGENT["did"],
        "dev": "ci",
        "scp": AGENT["scopes"],
        "iat": 1795176000,
        "exp": 1795262400,
        "jti": EXAMPLE["grantId"],
        "grnt": EXAMPLE["grantId"],
        "delegationDepth": 0,
    },
}

router = Router(tags=["Grants"], by_alias=True)


class GrantAnswer(CamelSchema):
    """`agentId` is null where an access request gave it; `revokedAt` and `parentGrantId` are there where they apply."""

    grant_id: str
    agent_id: str | None
    principal_id: str | None
    developer_id: str
    scopes: list[str]
    status: str
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    parent_grant_id: str | None = None
    delegation_depth: int

    model_config = exemplified(EXAMPLE)


class GrantList(CamelSchema):
    grants: list[GrantAnswer]

    model_config = exemplified({"grants": [EXAMPLE]})


class GrantFilter(CamelSchema):
    agent_id: Id | None = None
    principal_id: Id | None = None
    status: Literal["active", "revoked", "expired"] | None = None
    page: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    page_size: Annotated[int, Field(ge=1, le=1000)] | None = None


class Delegation(CamelSchema):
    parent_grant_token: Token
    sub_agent_id: Id
    scopes: GivenScopes
    expires_in: ExpiresIn = "1h"

    model_config = exemplified(
        {"parentGrantToken": TOKEN, "subAgentId": OTHER_AGENT, "scopes": AGENT["scopes"], "expiresIn": "1h"}
    )


class Delegated(CamelSchema):
    grant_token: str
    grant_id: str
    scopes: list[str]
    expires_at: datetime

    model_config = exemplified(
        {
            "grantToken": "grnt_01JD4W8A6C5F0H2J4K6M8P0R2T.5sZRj8an41g397fY11Hqf8zpRwtooSy39Di4S5f1WD4",
            "grantId": "grnt_01JD4W8A6C5F0H2J4K6M8P0R2T",
            "scopes": AGENT["scopes"],
            "expiresAt": "2026-11-20T13:00:00.000Z",
        }
    )


class GrantToken(CamelSchema):
    token: Token

    model_config = exemplified({"token": TOKEN})


class Verified(CamelSchema):
    active: bool
    claims: dict[str, Any] | None = None
    reason: str | None = None

    model_config = exemplified(_VERIFIED)


def to_wire(grant: Grant, *, at: datetime) -> dict[str, Any]:
    """The grant as Grantex spells it."""
    return {
        "grantId": grant.public_id,
        "agentId": grant.agent_id,
        "principalId": grant.principal_id,
        "developerId": grant.issued_by,
        "scopes": grant.scopes,
        "status": grant.status_at(at),
        "issuedAt": wire_time(grant.issued_at),
        "expiresAt": wire_time(grant.expires_at) if grant.expires_at else None,
        **({"revokedAt": wire_time(grant.revoked_at)} if grant.revoked_at else {}),
        **({"parentGrantId": grant.parent.public_id} if grant.parent else {}),
        "delegationDepth": grant.delegation_depth,
    }


def _grant(grant_id: str) -> Grant:
    grant = Grant.objects.select_related("parent").filter(public_id=path_id(grant_id)).first()
    if grant is None:
        raise Http404(f"There is no grant {grant_id}.")
    return grant


@router.get("/grants", auth=READ, response={200: GrantList, 400: Error})
def list_grants(request: HttpRequest, wanted: Query[GrantFilter]) -> HttpResponseBase:
    """Return grants, the last known first: all that match, or one page of them if `page` or `pageSize` is given.

    Those that agents were issued here, those known from events that name them, and those that access requests gave.
    All of them are sent as they are read, however many they are; a page has 100, or as many as `pageSize` says.
    """
    at = timezone.now()
    grants = Grant.objects.select_related("parent").order_by("-id")
    if wanted.agent_id is not None:
        grants = grants.filter(agent_id=wanted.agent_id)
    if wanted.principal_id is not None:
        grants = grants.filter(principal_id=wanted.principal_id)
    if wanted.status is not None:
        grants = grants.with_status(wanted.status, at=at)
    if wanted.page is not None or wanted.page_size is not None:
        size = wanted.page_size or PAGE_SIZE
        start = ((wanted.page or 1) - 1) * size
        return json_answer({"grants": [to_wire(grant, at=at) for grant in grants[start : start + size]]})
    return streamed(request, "grants", (to_wire(grant, at=at) for grant in each_once(grants)))


@router.post("/grants/delegate", auth=REVIEW, response={201: Delegated, (400, 404, 422): Error})
def delegate(request: HttpRequest, wanted: Delegation) -> HttpResponse:
    """Give another agent a part of a grant: of its scopes, for no longer than it, and over when it is revoked.

    A call that is repeated within a minute is answered as the first was.
    """
    try:
        grant = issuing.delegate(
            wanted.parent_grant_token,
            agent_id=wanted.sub_agent_id,
            scopes=wanted.scopes,
            life=issuing.life_of(wanted.expires_in),
            by=caller(request),
            at=timezone.now(),
        )
    except issuing.UnknownAgentError as error:
        raise Http404(str(error)) from None
    except issuing.IssuingError as error:
        raise HttpError(400, str(error)) from None
    assert grant.expires_at is not None  # all that are issued here end
    answer = {
        "grantToken": issuing.token_of(grant),
        "grantId": grant.public_id,
        "scopes": grant.scopes,
        "expiresAt": wire_time(grant.expires_at),
    }
    return json_answer(answer, status=201)


@router.post("/grants/verify", auth=READ, response={200: Verified, 422: Error})
def verify(request: HttpRequest, wanted: GrantToken) -> HttpResponse:
    """Say whether the grant of a token stands, and what it is; the token itself says nothing to others."""
    at = timezone.now()
    grant = issuing.grant_of(wanted.token)
    if grant is None:
        return json_answer({"active": False, "reason": "not_found"})
    if grant.status_at(at) != Grant.Status.ACTIVE:
        return json_answer({"active": False, "reason": grant.status_at(at)})
    if not grant.agent_acts:
        return json_answer({"active": False, "reason": "agent_not_active"})
    return json_answer({"active": True, "claims": _claims(grant)})


@router.get("/grants/{path:grant_id}", auth=READ, response={200: GrantAnswer, 404: Error})
def get_grant(request: HttpRequest, grant_id: str) -> HttpResponse:
    """Return one grant, also one that is revoked."""
    return json_answer(to_wire(_grant(grant_id), at=timezone.now()))


@router.delete("/grants/{path:grant_id}", auth=REVIEW, response={204: None, 404: Error})
def revoke_grant(request: HttpRequest, grant_id: str) -> HttpResponse:
    """Revoke a grant, with all that was delegated of it; one that ended before is a 404.

    Where an integration has to be asked first, the grant is `active` until that has answered, and goes on if that
    refuses; a call that is repeated meanwhile is a 204 as well.
    """
    try:
        access.revoke_grant(_grant(grant_id), by=caller(request), at=timezone.now())
    except access.GrantNotActiveError as error:
        raise Http404(str(error)) from None
    except revocations.AlreadyRevokingError:
        pass  # what is asked for is under way
    return HttpResponse(status=204)


def _claims(grant: Grant) -> dict[str, Any]:
    """What clients take for the content of a token."""
    assert grant.expires_at is not None  # all that are issued here end
    assert grant.agent is not None
    return {
        "iss": settings.ANOMALIES_PUBLIC_URL,
        "sub": grant.principal_id,
        "agt": grant.agent.did,
        "dev": grant.issued_by,
        "scp": grant.scopes,
        "iat": int(grant.issued_at.timestamp()),
        "exp": int(grant.expires_at.timestamp()),
        "jti": grant.public_id,
        "grnt": grant.public_id,
        **({"parentGrnt": grant.parent.public_id} if grant.parent else {}),
        "delegationDepth": grant.delegation_depth,
    }

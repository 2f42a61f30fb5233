"""Grants issued here: agents are authorized to them, fetch them with a code, and pass parts of them on.

Codes and tokens are what they name, signed: they are kept nowhere, and those of one grant are always the same. So a
call that is repeated because its answer was lost gets that answer again, and no second grant.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db import transaction
from django.utils.crypto import constant_time_compare

from anomalies.models import Agent, Authorization, Grant, Principal
from anomalies.services import changes
from anomalies.services.actor import Actor

CODE_LIFE = timedelta(minutes=10)
REPEATED_FOR = timedelta(minutes=1)  # a delegation asked for again within it is the same one
MAX_DEPTH = 5
LONGEST = timedelta(days=365)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class IssuingError(Exception):
    """A grant that cannot be issued; its text names the field as Grantex spells it."""


class UnknownAgentError(IssuingError):
    def __init__(self, agent_id: str) -> None:
        super().__init__(f"There is no active agent {agent_id}.")


def life_of(text: str) -> timedelta:
    """Return how long `24h`, `30m`, `90s` or `7d` is. Raises IssuingError."""
    match = re.fullmatch(r"([0-9]{1,8})([smhd])", text, re.ASCII)
    life = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if not timedelta(0) < life <= LONGEST:
        raise IssuingError(f"expiresIn: it is such as 24h, 30m or 7d, {LONGEST.days} days at most.")
    return life


@transaction.atomic
def authorize(
    *,
    agent_id: str,
    principal_id: str,
    scopes: Sequence[str],
    life: timedelta,
    by: Actor,
    at: datetime,
    code_challenge: str = "",
) -> Authorization:
    """Let an active agent fetch a grant of these scopes for a principal, within ten minutes; it stands for `life`.

    Nobody is asked to consent: this server is there to see such grants, and to take them back. Raises IssuingError,
    also for scopes beyond those that the agent is registered with.
    """
    agent = _agent(agent_id, scopes)
    Principal.objects.bulk_create([Principal(public_id=principal_id)], ignore_conflicts=True)
    return Authorization.objects.create(
        agent=agent,
        principal_id=principal_id,
        scopes=list(dict.fromkeys(scopes)),
        life_seconds=int(life.total_seconds()),
        code_challenge=code_challenge,
        created_at=at,
        created_by=by.name,
        expires_at=at + CODE_LIFE,
    )


@transaction.atomic
def exchange(code: str, *, agent_id: str, by: Actor, at: datetime, code_verifier: str = "") -> Grant:
    """Return the grant that a code is for, issued now: one code, one grant, also when it is asked for again.

    Raises IssuingError if the code is not of this key and agent, is over, or its grant has ended.
    """
    authorization = _authorization(code)
    if authorization is None or authorization.agent_id != agent_id or authorization.created_by != by.name:
        raise IssuingError("code: it is none of this key and agent.")
    if authorization.expires_at <= at:
        raise IssuingError(f"code: it was good until {authorization.expires_at.isoformat()}.")
    if authorization.code_challenge and not _answers(authorization.code_challenge, code_verifier):
        raise IssuingError("codeVerifier: it is not what codeChallenge was made of.")
    if authorization.grant is not None:
        if authorization.grant.status_at(at) != Grant.Status.ACTIVE:
            raise IssuingError(f"code: its grant is {authorization.grant.status_at(at)}.")
        return authorization.grant
    _agent(agent_id, authorization.scopes)
    authorization.grant = _issue(
        Grant(
            agent_id=agent_id,
            principal_id=authorization.principal_id,
            scopes=authorization.scopes,
            issued_at=at,
            expires_at=at + timedelta(seconds=authorization.life_seconds),
        ),
        by=by,
        at=at,
    )
    authorization.save(update_fields=["grant"])
    return authorization.grant


@transaction.atomic
def delegate(
    parent_token: str, *, agent_id: str, scopes: Sequence[str], life: timedelta, by: Actor, at: datetime
) -> Grant:
    """Return a grant of another agent that is a part of one: of its scopes, for no longer than it, and over with it.

    Asked for again within a minute it is the same one. Raises IssuingError.
    """
    known = grant_of(parent_token)
    # Locked: who revokes it ends what was delegated of it, and finds it all.
    parent = Grant.objects.select_for_update().get(pk=known.pk) if known else None
    if parent is None:
        raise IssuingError("parentGrantToken: it is none of a grant issued here.")
    if parent.status_at(at) != Grant.Status.ACTIVE:
        raise IssuingError(f"parentGrantToken: its grant is {parent.status_at(at)}.")
    if not parent.agent_acts:
        raise IssuingError("parentGrantToken: its agent is not active.")
    if beyond := [scope for scope in scopes if scope not in parent.scopes]:
        raise IssuingError(f"scopes: the grant does not have {', '.join(beyond)}.")
    if parent.delegation_depth >= MAX_DEPTH:
        raise IssuingError(f"parentGrantToken: its grant was delegated {MAX_DEPTH} times, and cannot be once more.")
    _agent(agent_id, scopes, field="subAgentId")
    wanted = list(dict.fromkeys(scopes))
    ends = min(filter(None, (parent.expires_at, at + life)))
    lately = parent.delegated.active().filter(agent_id=agent_id, issued_at__gt=at - REPEATED_FOR, issued_by=by.name)
    if same := next((one for one in lately.order_by("id") if one.scopes == wanted and _lasts(one, life, ends)), None):
        return same
    return _issue(
        Grant(
            agent_id=agent_id,
            principal_id=parent.principal_id,
            parent=parent,
            delegation_depth=parent.delegation_depth + 1,
            scopes=wanted,
            issued_at=at,
            expires_at=ends,
        ),
        by=by,
        at=at,
    )


@transaction.atomic
def refresh(refresh_token: str, *, agent_id: str, by: Actor, at: datetime) -> Grant:
    """Return the grant of that refresh token, which stands from now on for as long as it was authorized to.

    Raises IssuingError if the token is not of this key and agent, or its grant has ended.
    """
    authorization = _signed_authorization("refresh token", refresh_token)
    if authorization is None or authorization.agent_id != agent_id or authorization.created_by != by.name:
        raise IssuingError("refreshToken: it is none of this key and agent.")
    assert authorization.grant_id is not None  # made of one that has its grant
    grant = Grant.objects.select_for_update().get(pk=authorization.grant_id)
    if grant.status_at(at) != Grant.Status.ACTIVE:
        raise IssuingError(f"refreshToken: its grant is {grant.status_at(at)}.")
    _agent(agent_id, grant.scopes)
    before, grant.expires_at = grant.expires_at, at + timedelta(seconds=authorization.life_seconds)
    grant.save(update_fields=["expires_at"])
    lasts = changes.between(
        {"expires_at": before.isoformat() if before else None}, {"expires_at": grant.expires_at.isoformat()}
    )
    changes.record("grant", grant.public_id, "refreshed", by=by, at=at, changes=lasts)
    return grant


def code_of(authorization: Authorization) -> str:
    """The code with which the grant is fetched."""
    return _signer("code").sign(authorization.public_id)


def token_of(grant: Grant) -> str:
    return _signer("grant token").sign(grant.public_id)


def refresh_token_of(grant: Grant) -> str:
    """The token that makes it last longer; a delegated grant has none, as it lasts as long as that of which it is."""
    authorization = Authorization.objects.filter(grant=grant).first()
    return _signer("refresh token").sign(authorization.public_id) if authorization else ""


def grant_of(token: str) -> Grant | None:
    """Return the grant of a token, whatever became of it; None where it is the token of none."""
    try:
        return Grant.objects.filter(public_id=_signer("grant token").unsign(token)).first()
    except BadSignature:
        return None


def _agent(agent_id: str, scopes: Sequence[str], *, field: str = "agentId") -> Agent:
    """Return the agent to which a grant may be issued."""
    agent = Agent.objects.filter(public_id=agent_id, deleted_at__isnull=True).first()
    if agent is None:
        raise UnknownAgentError(agent_id)
    if agent.status != Agent.Status.ACTIVE:
        raise IssuingError(f"{field}: the agent {agent_id} is {agent.status}.")
    if agent.scopes and (beyond := [scope for scope in scopes if scope not in agent.scopes]):
        raise IssuingError(f"scopes: the agent {agent_id} is not registered with {', '.join(beyond)}.")
    return agent


def _issue(grant: Grant, *, by: Actor, at: datetime) -> Grant:
    grant.issued_by = by.name
    grant.save(force_insert=True)
    told = {"agent": grant.agent_id, "user": grant.principal_id, "scopes": grant.scopes}
    note = f"Delegated from {grant.parent}." if grant.parent else ""
    changes.record("grant", grant.public_id, "issued", by=by, at=at, changes=changes.between({}, told), note=note)
    return grant


def _authorization(code: str) -> Authorization | None:
    return _signed_authorization("code", code)


def _signed_authorization(what: str, text: str) -> Authorization | None:
    """Return the authorization that is signed as that, locked."""
    try:
        public_id = _signer(what).unsign(text)
    except BadSignature:
        return None
    return Authorization.objects.select_for_update().filter(public_id=public_id).first()


def _signer(what: str) -> Signer:
    return Signer(key=settings.ANOMALIES_ENCRYPTION_KEY, sep=".", salt=f"anomalies.services.issuing {what}")


def _answers(challenge: str, verifier: str) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    return constant_time_compare(urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)


def _lasts(grant: Grant, life: timedelta, ends: datetime) -> bool:
    """Whether a grant is of the life that is asked for, or cut short by the same end."""
    return grant.expires_at in (grant.issued_at + life, ends)

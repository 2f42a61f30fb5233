"""services/issuing: one code, one grant; a part of a grant is never more than it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from anomalies.models import Authorization, Change, Grant, Principal
from anomalies.services import access, grants, issuing
from anomalies.services.actor import Actor
from tests import make
from tests.make import NOW

pytestmark = pytest.mark.django_db

CI = Actor(name="ci")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def _authorize(**fields: Any) -> Authorization:
    make.agent()
    wanted = {"agent_id": "ag_billing", "principal_id": "user_1", "scopes": ["read", "pay"], "life": DAY, **fields}
    return issuing.authorize(**{"by": CI, "at": NOW, **wanted})


def _exchange(code: str, **fields: Any) -> Grant:
    return issuing.exchange(code, **{"agent_id": "ag_billing", "by": CI, "at": NOW, **fields})


def _issued(**fields: Any) -> Grant:
    return _exchange(issuing.code_of(_authorize(**fields)))


def _delegate(parent: Grant, **fields: Any) -> Grant:
    make.agent("ag_mailer")
    wanted = {"agent_id": "ag_mailer", "scopes": ["read"], "life": HOUR, "by": CI, "at": NOW, **fields}
    return issuing.delegate(issuing.token_of(parent), **wanted)


def test_a_grant_is_issued_for_its_code() -> None:
    grant = _issued(scopes=["read", "pay", "read"])
    assert (grant.agent_id, grant.principal_id, grant.scopes) == ("ag_billing", "user_1", ["read", "pay"])
    assert (grant.issued_at, grant.expires_at, grant.issued_by) == (NOW, NOW + DAY, "ci")
    assert Principal.objects.get().public_id == "user_1"
    told = Change.objects.get()
    assert (told.subject_type, told.subject_id, told.action, told.actor) == ("grant", grant.public_id, "issued", "ci")


def test_neither_code_nor_token_is_kept() -> None:
    authorization = _authorize()
    code = issuing.code_of(authorization)
    grant = _exchange(code)
    kept = f"{Authorization.objects.values()} {Grant.objects.values()} {Change.objects.values()}"
    for secret in (code, issuing.token_of(grant), issuing.refresh_token_of(grant)):
        assert secret.rsplit(".", 1)[1] not in kept


def test_a_code_asked_for_again_gives_the_same_grant_and_tokens() -> None:
    code = issuing.code_of(_authorize())
    first, second = _exchange(code), _exchange(code, at=NOW + timedelta(minutes=9))
    assert first == second
    assert issuing.token_of(first) == issuing.token_of(second)
    assert issuing.refresh_token_of(first) == issuing.refresh_token_of(second)
    assert (Grant.objects.count(), Change.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"at": NOW + timedelta(minutes=10)}, "code: it was good until 2026-11-20T12:10:00"),
        ({"agent_id": "ag_other"}, "code: it is none of this key and agent."),
        ({"by": Actor(name="other")}, "code: it is none of this key and agent."),
    ],
)
def test_a_code_is_good_for_its_key_and_agent_and_ten_minutes(fields: dict[str, Any], said: str) -> None:
    code = issuing.code_of(_authorize())
    for _ in range(2):
        with pytest.raises(issuing.IssuingError, match=said):
            _exchange(code, **fields)
        _exchange(code)  # it is no better once it was used


@pytest.mark.parametrize("code", ["", ".", "areq_1", "areq_1.", "areq_1.x", "\x00", "ü.ü", "a" * 1000])
def test_what_is_no_code_fetches_nothing(code: str) -> None:
    _authorize()
    with pytest.raises(issuing.IssuingError, match="code: it is none"):
        _exchange(code)


def test_a_token_is_no_code_and_a_code_no_token() -> None:
    authorization = _authorize()
    grant = _exchange(issuing.code_of(authorization))
    for text in (issuing.token_of(grant), issuing.refresh_token_of(grant)):
        with pytest.raises(issuing.IssuingError):
            _exchange(text)
    assert issuing.grant_of(issuing.code_of(authorization)) is issuing.grant_of(issuing.refresh_token_of(grant)) is None
    assert issuing.grant_of(issuing.token_of(grant)) == grant


def test_a_code_whose_grant_is_revoked_gives_none() -> None:
    code = issuing.code_of(_authorize())
    access.revoke_grant(_exchange(code), by=CI, at=NOW)
    with pytest.raises(issuing.IssuingError, match="code: its grant is revoked"):
        _exchange(code)
    assert Grant.objects.count() == 1


def test_a_challenge_wants_its_verifier() -> None:
    # RFC 7636, appendix B
    verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    code = issuing.code_of(_authorize(code_challenge=challenge))
    for wrong in ("", "x", verifier + "x"):
        with pytest.raises(issuing.IssuingError, match="codeVerifier: "):
            _exchange(code, code_verifier=wrong)
    assert _exchange(code, code_verifier=verifier)


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ({"status": "suspended"}, "agentId: the agent ag_billing is suspended."),
        ({"status": "revoked"}, "agentId: the agent ag_billing is revoked."),
        ({"deleted_at": NOW}, "There is no active agent ag_billing."),
        ({"scopes": ["read"]}, "scopes: the agent ag_billing is not registered with pay."),
    ],
)
def test_an_agent_that_may_not_gets_no_grant(agent: dict[str, Any], said: str) -> None:
    code = issuing.code_of(_authorize())
    type(make.agent()).objects.update(**agent)
    with pytest.raises(issuing.IssuingError, match=said):
        _authorize()
    with pytest.raises(issuing.IssuingError, match=said):
        _exchange(code)
    assert (Authorization.objects.count(), Grant.objects.count()) == (1, 0)


def test_an_unknown_agent_is_authorized_to_nothing() -> None:
    with pytest.raises(issuing.UnknownAgentError):
        _authorize(agent_id="ag_unknown")
    assert not Principal.objects.exists()


@pytest.mark.parametrize(
    ("text", "life"), [("24h", DAY), ("30m", HOUR / 2), ("90s", 1.5 * HOUR / 60), ("365d", 365 * DAY)]
)
def test_a_life_is_read(text: str, life: timedelta) -> None:
    assert issuing.life_of(text) == life


@pytest.mark.parametrize(
    "text", ["", "h", "24", "0h", "-1h", "1.5h", "366d", "99999999d", "1h ", "٣h", "1w", "9999999999s"]
)
def test_a_life_without_sense_is_refused(text: str) -> None:
    with pytest.raises(issuing.IssuingError, match="expiresIn: it is such as 24h"):
        issuing.life_of(text)


@pytest.mark.django_db(transaction=True)
def test_a_code_sent_several_times_at_once_gives_one_grant(at_once: Callable[..., list[Grant]]) -> None:
    code = issuing.code_of(_authorize())
    assert len({grant.pk for grant in at_once([lambda: _exchange(code)] * 4)}) == 1
    assert Grant.objects.count() == 1


def test_a_part_of_a_grant_is_another_agents() -> None:
    parent = _issued()
    part = _delegate(parent)
    assert (part.parent, part.delegation_depth, part.agent_id, part.principal_id) == (parent, 1, "ag_mailer", "user_1")
    assert (part.scopes, part.expires_at) == (["read"], NOW + HOUR)
    assert Change.objects.latest("id").note == f"Delegated from {parent}."


def test_a_part_does_not_outlast_the_whole() -> None:
    assert _delegate(_issued(), life=2 * DAY).expires_at == NOW + DAY


def test_a_delegation_asked_for_again_within_a_minute_is_the_same() -> None:
    parent = _issued()
    first = _delegate(parent)
    assert _delegate(parent, at=NOW + timedelta(seconds=59)) == first
    others = [
        _delegate(parent, at=NOW + timedelta(seconds=60)),
        _delegate(parent, scopes=["pay"]),
        _delegate(parent, life=2 * HOUR),
        _delegate(parent, by=Actor(name="other")),
    ]
    assert len({first.pk, *(one.pk for one in others)}) == 5


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scopes": ["read", "write"]}, "scopes: the grant does not have write."),
        ({"at": NOW + DAY}, "parentGrantToken: its grant is expired."),
        ({"agent_id": "ag_unknown"}, "There is no active agent ag_unknown."),
    ],
)
def test_more_than_the_whole_is_not_delegated(fields: dict[str, Any], said: str) -> None:
    parent = _issued()
    with pytest.raises(issuing.IssuingError, match=said):
        _delegate(parent, **fields)
    assert Grant.objects.count() == 1


def test_delegation_comes_to_an_end() -> None:
    grant = _issued()
    for depth in range(1, issuing.MAX_DEPTH + 1):
        grant = _delegate(grant)
        assert grant.delegation_depth == depth
    with pytest.raises(issuing.IssuingError, match="was delegated 5 times"):
        _delegate(grant)


def test_revoking_a_grant_revokes_all_that_was_delegated_of_it_and_no_more() -> None:
    parent, beside = _issued(), _issued()
    part, other = _delegate(parent), _delegate(parent, scopes=["pay"])
    part_of_part = _delegate(part)
    access.revoke_grant(other, by=Actor(name="ana"), at=NOW)
    access.revoke_grant(part, by=Actor(name="ben"), at=NOW + HOUR / 2)
    assert _revoked_by() == {other.pk: "ana", part.pk: "ben", part_of_part.pk: "ben"}
    access.revoke_grant(parent, by=Actor(name="vic"), at=NOW + HOUR / 2)
    assert _revoked_by() == {other.pk: "ana", part.pk: "ben", part_of_part.pk: "ben", parent.pk: "vic"}
    assert list(Grant.objects.active()) == [beside]
    note = Change.objects.get(subject_id=part_of_part.public_id, action="revoked").note
    assert note == f"it was delegated from {part}, which is revoked; no integration of it has a connection to ask"


def _revoked_by() -> dict[int, str]:
    return dict(Grant.objects.filter(status="revoked").values_list("pk", "revoked_by"))


def test_a_refreshed_grant_lasts_as_long_as_it_was_authorized_to() -> None:
    grant = _issued()
    token, refresh_token = issuing.token_of(grant), issuing.refresh_token_of(grant)
    for hours in (20, 40):
        at = NOW + timedelta(hours=hours)
        again = issuing.refresh(refresh_token, agent_id="ag_billing", by=CI, at=at)
        assert (again.pk, again.expires_at, issuing.token_of(again)) == (grant.pk, at + DAY, token)
        logged = Change.objects.get(subject_id=grant.public_id, action="refreshed", at=at)
        assert logged.actor == "ci"
        assert logged.changes["expires_at"][1] == (at + DAY).isoformat()
    with pytest.raises(issuing.IssuingError, match="refreshToken: its grant is expired"):
        issuing.refresh(refresh_token, agent_id="ag_billing", by=CI, at=NOW + 3 * DAY)
    with pytest.raises(issuing.IssuingError, match="refreshToken: it is none of this key and agent"):
        issuing.refresh(refresh_token, agent_id="ag_billing", by=Actor(name="other"), at=NOW)


@pytest.mark.parametrize(
    ("at", "ended", "status"), [(NOW + DAY / 2, 0, "active"), (NOW + DAY, 1, "expired"), (NOW + 2 * DAY, 1, "expired")]
)
def test_a_grant_is_over_at_its_end_before_the_clock_comes_to_it_and_after(
    at: datetime, ended: int, status: str
) -> None:
    grant = _issued()
    for expected in (ended, 0):
        assert grant.status_at(at) == status
        assert list(Grant.objects.with_status(status, at=at)) == [grant]
        assert sum(Grant.objects.with_status(other, at=at).count() for other in Grant.Status.values) == 1
        assert grants.expire(at=at) == expected
        grant.refresh_from_db()
    assert grant.status == status

"""services/revocations: access stands until each integration that gives it has answered."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from anomalies.models import (
    AccessRequest,
    Change,
    Connection,
    Grant,
    ReviewEntry,
    Revocation,
    RevocationAttempt,
    RevocationCall,
)
from anomalies.services import access, access_requests, connections, counts, revocations
from anomalies.services.actor import Actor
from tests import make
from tests.notifications.receiver import Receiver, receiving, status
from tests.services.access_requests import HOUR, life, told, unit
from tests.services.days import MONDAY, store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("calls_stay_here")]

BEN = Actor(name="ben")
AT = MONDAY + 3 * HOUR


def connect(url: str, integration: str = "postgres-eu", *, secret: str = "", **fields: Any) -> Connection:
    made = Connection()
    wanted = {"integration": integration, "url": url, "method": "POST", "headers": {}, "timeout_seconds": 5,
              "enabled": True, **fields}  # fmt: skip
    connections.keep(made, wanted, secret=secret, by=BEN, at=AT)
    return made


def fold(*events: Any) -> None:
    store(list(events))
    counts.count_some()


def granted(*units: Any, id_: str = "req_1") -> Grant:
    fold(*life(id_, units=list(units) or [unit()])[:3])
    return Grant.objects.get(request_id=id_)


def answer(at: datetime = AT) -> int:
    """Make the calls that are due at that time."""
    return revocations.call_due(clock=lambda: at, until=at + HOUR)


def request_status(id_: str = "req_1") -> str:
    return AccessRequest.objects.get(public_id=id_).status


def test_without_a_connection_access_ends_at_once(ana: User) -> None:
    grant = granted()
    revocation = access.revoke_grant(grant, by=Actor("ana", ana), at=AT)
    assert (grant.status, grant.revoked_by, request_status()) == ("revoked", "ana", "revoked")
    assert (revocation.state, revocation.calls.count()) == ("done", 0)
    assert answer() == 0
    change = Change.objects.get()
    assert (change.subject_type, change.subject_id, change.action) == ("access_request", "req_1", "revoked")
    assert (change.actor, change.user) == ("ana", ana)


def test_with_one_it_stands_until_that_has_answered(there: Receiver) -> None:
    connect(there.url, secret="s3cret", headers={"X-Team": "sec"}, method="PUT")
    grant = granted()
    access.revoke_grant(grant, by=BEN, at=AT)
    assert (grant.status, request_status(), there.received) == ("active", "revoking", [])
    assert answer(AT + HOUR) == 1
    grant.refresh_from_db()
    assert (grant.status, grant.revoked_by, request_status()) == ("revoked", "ben", "revoked")
    assert grant.revoked_at == AT + HOUR
    (sent,) = there.received
    assert (sent.method, sent.headers["Authorization"], sent.headers["X-Team"]) == ("PUT", "Bearer s3cret", "sec")
    assert sent.headers["Idempotency-Key"] == sent.json["id"] == RevocationCall.objects.get().public_id
    assert {name: sent.json[name] for name in ("type", "request_id", "request_name", "grant_id", "actor")} == {
        "type": "access.revoke", "request_id": "req_1", "request_name": "AR-1", "grant_id": grant.public_id,
        "actor": "ben",
    }  # fmt: skip
    assert [one["resource"] for one in sent.json["units"]] == ["orders"]
    assert sent.json["time"] == AT.isoformat()
    attempt = RevocationAttempt.objects.get()
    assert (attempt.outcome, attempt.exchange["status"]) == ("answered 200", 200)
    assert "s3cret" not in str(attempt.exchange)
    assert [(one.type, one.actor) for one in access_requests.history_of(AccessRequest.objects.get())][-2:] == [
        ("revoking", "ben"), ("revoked", "ben"),
    ]  # fmt: skip
    assert answer(AT + HOUR) == 0


def test_all_integrations_of_a_request_must_answer(there: Receiver) -> None:
    connect(there.url)
    with receiving(status(500)) as slow:
        connect(slow.url, "s3-eu")
        grant = granted(unit(), unit("bucket", integration="s3-eu"), unit("x", integration="not-connected"))
        access.revoke_grant(grant, by=BEN, at=AT)
        assert answer() == 2
        assert (len(there.received), len(slow.received), request_status()) == (1, 1, "revoking")
        slow.answer = status(200)
        assert answer(AT + HOUR) == 1
    assert (len(there.received), len(slow.received), request_status()) == (1, 2, "revoked")
    assert slow.received[0].headers["Idempotency-Key"] == slow.received[1].headers["Idempotency-Key"]


def test_what_is_refused_for_good_lets_the_access_stand_and_says_why() -> None:
    with receiving(status(403, b"no such grant")) as there:
        connect(there.url)
        grant = granted()
        access.revoke_grant(grant, by=BEN, at=AT)
        answer()
        grant.refresh_from_db()
        assert (grant.status, request_status()) == ("active", "active")
        revocation = Revocation.objects.get()
        assert (revocation.state, revocation.error) == ("refused", "postgres-eu: answered 403")
        last = access_requests.history_of(AccessRequest.objects.get())[-1]
        assert (last.type, last.note) == ("revocation_refused", "postgres-eu: answered 403")
        assert RevocationAttempt.objects.get().exchange["response_body"] == "no such grant"
        there.answer = status(204, b"")
        access.revoke_grant(grant, by=BEN, at=AT)  # once more, at the same moment
        assert request_status() == "revoking"
        answer()
    assert request_status() == "revoked"


def test_failures_are_tried_again_for_a_day_with_longer_pauses() -> None:
    pauses, at = [], AT
    with receiving(status(503)) as there:
        connect(there.url)
        access.revoke_grant(granted(), by=BEN, at=AT)
        while request_status() == "revoking":
            assert answer(at) == 1
            due = RevocationCall.objects.get().due_at
            pauses.append(due - at)
            assert answer(due - timedelta(milliseconds=1)) == 0 or at == due
            at = due
    assert at <= AT + timedelta(days=1, hours=1)
    assert pauses[0] <= timedelta(seconds=10) < pauses[3] < pauses[5] <= timedelta(hours=1)
    assert 24 < len(there.received) < 80
    assert request_status() == "active"
    assert Revocation.objects.get().error.endswith("in a day, the last one: answered 503")


def test_a_pause_that_is_asked_for_is_kept() -> None:
    with receiving(status(429, b"", Retry_After="900")) as there:
        connect(there.url)
        access.revoke_grant(granted(), by=BEN, at=AT)
        answer()
    assert RevocationCall.objects.get().due_at == AT + timedelta(seconds=900)


def test_somebody_who_is_second_is_told_who_was_first(there: Receiver) -> None:
    connect(there.url)
    grant = granted()
    access.revoke_grant(grant, by=BEN, at=AT)
    with pytest.raises(revocations.AlreadyRevokingError, match="since ben asked for that"):
        access.revoke_grant(grant, by=Actor(name="ana"), at=AT)
    answer()
    with pytest.raises(access.GrantNotActiveError, match="already revoked"):
        access.revoke_grant(grant, by=Actor(name="ana"), at=AT)


@pytest.mark.parametrize("type_", ["revoked", "expired"])
def test_events_that_end_the_access_meanwhile_win_and_nobody_is_asked_any_more(type_: str, there: Receiver) -> None:
    connect(there.url)
    grant = granted()
    access.revoke_grant(grant, by=BEN, at=AT)
    fold(told(type_, AT + HOUR))
    grant.refresh_from_db()
    assert (grant.status, request_status()) == (type_, type_)
    assert answer(AT + 2 * HOUR) == 1
    assert there.received == []
    assert Revocation.objects.get().state == "superseded"
    assert RevocationCall.objects.get().state == "dropped"
    assert request_status() == type_


def test_an_event_that_ends_it_while_it_is_asked_wins_over_the_refusal() -> None:
    def end_it(to: Any) -> None:
        status(403)(to)

    with receiving(end_it) as there:
        connect(there.url)
        access.revoke_grant(granted(), by=BEN, at=AT)
        call = revocations._claim(AT)
        assert call
        exchange = connections.call(call.connection, call.body, idempotency_id=call.public_id)
        fold(told("revoked", AT + HOUR))
        revocations._settle(call, AT + HOUR, exchange)
    assert (request_status(), Revocation.objects.get().state) == ("revoked", "superseded")


def test_access_granted_anew_after_events_ended_it_can_be_revoked_anew(there: Receiver) -> None:
    connect(there.url)
    grant = granted()
    access.revoke_grant(grant, by=BEN, at=AT)
    fold(told("expired", AT + HOUR), told("granted", AT + 2 * HOUR))
    assert request_status() == "active"
    access.revoke_grant(grant, by=BEN, at=AT + 3 * HOUR)
    assert request_status() == "revoking"
    assert answer(AT + 3 * HOUR) == 1
    assert request_status() == "revoked"
    assert list(Revocation.objects.order_by("id").values_list("state", flat=True)) == ["superseded", "done"]


@pytest.mark.parametrize("late", ["created", "approved", "granted", "rejected", "failed"])
def test_what_events_tell_late_leaves_a_revocation_under_way(late: str, there: Receiver) -> None:
    connect(there.url)
    access.revoke_grant(granted(), by=BEN, at=AT)
    for _ in range(2):  # and once more, from all of its events
        fold(told(late, AT + HOUR))
        assert request_status() == "revoking"
        assert Grant.objects.get().status == "active"
    answer(AT + 2 * HOUR)
    fold(told("approved", MONDAY))
    assert (request_status(), Grant.objects.get().status) == ("revoked", "revoked")


def test_that_it_had_expired_before_it_was_revoked_may_come_to_be_known_later(there: Receiver) -> None:
    connect(there.url)
    access.revoke_grant(granted(), by=BEN, at=AT)
    fold(told("expired", AT - timedelta(minutes=1)))
    assert (request_status(), Grant.objects.get().status) == ("expired", "expired")
    answer()
    assert there.received == []


def test_a_worker_that_dies_while_asking_loses_nothing(there: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(there.url)
    access.revoke_grant(granted(), by=BEN, at=AT)
    with monkeypatch.context() as dying:
        dying.setattr(revocations, "_settle", lambda *args: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            answer()
    assert (len(there.received), request_status()) == (1, "revoking")
    assert answer(AT + timedelta(seconds=10)) == 0  # it may still be at it
    assert answer(AT + timedelta(minutes=1)) == 1
    assert (len(there.received), request_status()) == (2, "revoked")
    assert len({one.json["id"] for one in there.received}) == 1


def test_an_answer_that_comes_twice_counts_once(there: Receiver) -> None:
    connect(there.url)
    access.revoke_grant(granted(), by=BEN, at=AT)
    call = revocations._claim(AT)
    assert call
    exchange = connections.call(call.connection, call.body, idempotency_id=call.public_id)
    revocations._settle(call, AT, exchange)
    before = AccessRequest.objects.values().get()
    revocations._settle(call, AT + HOUR, exchange)
    assert AccessRequest.objects.values().get() == before
    assert Revocation.objects.get().concluded_at == AT


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_workers_at_once_ask_once(there: Receiver, at_once: Any) -> None:
    connect(there.url)
    access.revoke_grant(granted(), by=BEN, at=AT)
    at_once([answer] * 4)
    assert (len(there.received), request_status()) == (1, "revoked")


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_two_who_revoke_at_once_begin_one_revocation(there: Receiver, at_once: Any) -> None:
    connect(there.url)
    grant = granted()
    refused: list[str] = []

    def revoke() -> None:
        try:
            access.revoke_grant(Grant.objects.get(pk=grant.pk), by=BEN, at=AT)
        except (access.AccessError, revocations.RevocationError) as error:
            refused.append(type(error).__name__)

    at_once([revoke] * 4)
    assert refused == ["AlreadyRevokingError"] * 3
    assert Revocation.objects.count() == 1


def test_a_connection_that_was_switched_off_meanwhile_refuses(there: Receiver) -> None:
    connect(there.url)
    access.revoke_grant(granted(), by=BEN, at=AT)
    Connection.objects.update(enabled=False)
    answer()
    assert Revocation.objects.get().error == "postgres-eu: the connection is switched off"
    assert there.received == []
    assert request_status() == "active"


def test_the_grant_of_an_agent_goes_the_same_way(there: Receiver) -> None:
    connect(there.url, "")
    grant = make.grant(scopes=["invoices:read"])
    access.revoke_grant(grant, by=BEN, at=AT)
    assert grant.status == "active"
    answer()
    grant.refresh_from_db()
    assert (grant.status, grant.revoked_by, grant.revoked_at) == ("revoked", "ben", AT)
    sent = there.received[0].json
    assert (sent["agent_id"], sent["grant_id"], sent["scopes"]) == ("ag_billing", "grnt_1", ["invoices:read"])
    assert (sent["request_id"], sent["integration"]) == ("", "")
    assert Change.objects.filter(subject_type="grant", subject_id="grnt_1", action="revoked").exists()


def test_the_response_policy_asks_connections_too(there: Receiver) -> None:
    connect(there.url, "")
    make.grant()
    access.set_response_mode("revoke_agent_grants", by=BEN, at=AT)
    spike = make.anomaly()
    assert access.respond(spike.scan, by=BEN, at=make.NOW) == 1
    assert access.respond(spike.scan, by=BEN, at=make.NOW) == 0
    assert "1 of them stand until their integrations answer" in ReviewEntry.objects.get().note
    answer(make.NOW)
    assert Grant.objects.get().status == "revoked"


def _locked(queries: Any) -> list[str]:
    """The tables of which rows were locked, in that order."""
    found = (re.search(r'FROM "anomalies_(\w+)".* FOR UPDATE', one["sql"]) for one in queries)
    return [one[1] for one in found if one]


def test_who_revokes_locks_the_anomaly_first_as_detection_does(there: Receiver, ana: User) -> None:
    connect(there.url)
    anomaly, grant = make.anomaly(), granted()
    with CaptureQueriesContext(connection) as begun:
        access.revoke_grant(grant, by=Actor("ana", ana), at=AT, anomaly=anomaly)
    with CaptureQueriesContext(connection) as settled:
        answer()
    assert _locked(begun)[:3] == ["anomaly", "accessrequest", "grant"]
    assert "anomaly accessrequest grant revocation" in " ".join(_locked(settled))


def test_the_anomaly_it_was_revoked_from_tells_of_it(there: Receiver, ana: User) -> None:
    connect(there.url)
    anomaly = make.anomaly()
    access.revoke_grant(granted(), by=Actor("ana", ana), at=AT, anomaly=anomaly)
    answer()
    assert [(one.actor, one.note) for one in ReviewEntry.objects.filter(anomaly=anomaly).order_by("id")] == [
        ("ana", "Revoking the access of request AR-1: it stands until postgres-eu answered."),
        ("ana", "Revoked the access of request AR-1: postgres-eu answered."),
    ]


def test_a_call_into_a_private_network_is_refused_and_says_so(there: Receiver, settings: Any) -> None:
    connect(there.url)
    settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = []
    access.revoke_grant(granted(), by=BEN, at=AT)
    answer()
    assert "inside a private network" in Revocation.objects.get().error
    assert there.received == []


def test_a_secret_is_encrypted_and_useless_with_another_key(there: Receiver, settings: Any) -> None:
    connection = connect(there.url, secret="s3cret")
    assert "s3cret" not in str(Connection.objects.values().get()) + str(Change.objects.values().get())
    settings.ANOMALIES_ENCRYPTION_KEY = "another"
    exchange = connections.test(connection, by=BEN, at=AT)
    assert exchange.error == "secret: it was encrypted with another key; enter it again."
    assert there.received == []


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://"}, "url"),
        ({"headers": {"Host": "x"}}, "headers"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "headers"),
        ({"headers": {"": "b"}}, "headers"),
        ({"headers": ["a"]}, "headers"),
        ({"secret": "two words"}, "secret"),
        ({"headers": {"Authorization": "Basic x"}, "secret": "s"}, "headers"),
    ],
)
def test_settings_that_make_no_sense_are_named(wanted: dict[str, Any], field: str) -> None:
    assert list(connections.errors_of({"url": "https://x.example/", "headers": {}, **wanted})) == [field]

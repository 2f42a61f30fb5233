"""services/grants: a request that was granted has one grant, whatever order its events came in."""

import itertools
from datetime import datetime
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalies.ingest.record import EventRecord
from anomalies.models import AccessRequest, Grant
from anomalies.services import access, access_requests, counts, grants
from anomalies.services.actor import Actor
from tests import make
from tests.services.access_requests import HOUR, life, told, unit
from tests.services.days import MONDAY, forget, record, store

pytestmark = pytest.mark.django_db

ANA = Actor(name="ana")
COLUMNS = [field.attname for field in Grant._meta.concrete_fields if field.attname != "id"]


def _fold(*records: EventRecord, source: str = "test") -> None:
    store(records, source)
    while counts.count_some().batches:
        pass


def _told(types: str, **fields: Any) -> list[EventRecord]:
    """An event an hour of each type."""
    return [told(type_, MONDAY + n * HOUR, **fields) for n, type_ in enumerate(types.split())]


def _last(types: str, type_: str) -> datetime:
    return MONDAY + max(n for n, one in enumerate(types.split()) if one == type_) * HOUR


def test_a_granted_request_is_a_grant_with_who_what_since_and_until_when() -> None:
    _fold(*life()[:3])
    grant = Grant.objects.get()
    assert grant.public_id.startswith("grnt_")
    assert (grant.agent, grant.principal_id, grant.status) == (None, "ana", "active")
    assert grant.request is not None
    assert (grant.request.public_id, grant.request.flow_id) == ("req_1", "flow_1")
    assert AccessRequest.objects.get().grant == grant
    [given_] = grant.units
    assert (given_["integration"], given_["resource"], given_["permission"]) == ("postgres-eu", "orders", "read")
    assert grant.scopes == ["read"]
    assert (grant.issued_at, grant.expires_at) == (MONDAY + 2 * HOUR, MONDAY + 3 * HOUR)
    assert (grant.revoked_at, grant.revoked_by, grant.ended_by_event) == (None, "", "")


@pytest.mark.parametrize(
    ("types", "status", "since", "ended"),
    [
        ("created", None, None, None),
        ("created approved", None, None, None),
        ("created rejected", None, None, None),
        ("created approved failed", None, None, None),
        ("created revoked", None, None, None),
        ("granted", "active", 0, None),
        ("created approved granted", "active", 2, None),
        ("created granted expired", "expired", 1, 2),
        ("created granted revoked", "revoked", 1, 2),
        ("created granted revoked expired", "revoked", 1, 2),
        ("created granted expired revoked", "expired", 1, 2),
        ("created revoked granted", "active", 2, None),
        ("created expired granted revoked", "revoked", 2, 3),
        ("created granted granted", "active", 1, None),
        ("created granted expired granted", "active", 3, None),
        ("created granted failed", "active", 1, None),
        ("created granted rejected", "active", 1, None),
    ],
)
def test_a_grant_stands_from_when_it_was_given_until_what_ends_it_after_that(
    types: str, status: str | None, since: int | None, ended: int | None
) -> None:
    _fold(*_told(types))
    grant = Grant.objects.first()
    assert (grant and grant.status) == status
    if grant is None:
        return
    assert since is not None
    assert grant.issued_at == MONDAY + since * HOUR
    end = None if ended is None else MONDAY + ended * HOUR
    assert grant.revoked_at == (end if status == "revoked" else None)
    assert grant.expires_at == (end if status == "expired" else _last(types, "granted") + HOUR)
    assert grant.ended_by_event == ("" if end is None else f"req_1-{status}-{end.isoformat()}")


def test_the_access_of_a_request_stands_past_its_planned_end() -> None:
    _fold(*life()[:3])
    grant = Grant.objects.get()
    assert grant.expires_at is not None
    assert grants.expire(at=grant.expires_at + HOUR) == 0
    assert grant.status_at(grant.expires_at + HOUR) == "active"
    assert list(Grant.objects.with_status("active", at=grant.expires_at + HOUR)) == [grant]


def test_an_end_that_is_heard_of_before_the_grant_ends_it_all_the_same() -> None:
    created, granted, revoked = _told("created granted revoked")
    _fold(created, revoked)
    assert not Grant.objects.exists()
    _fold(granted)
    grant = Grant.objects.get()
    assert (grant.status, grant.issued_at, grant.revoked_at) == ("revoked", MONDAY + HOUR, MONDAY + 2 * HOUR)


def test_a_late_word_of_an_earlier_grant_moves_its_begin_and_keeps_its_id() -> None:
    first, second = _told("granted granted")
    _fold(second)
    before = Grant.objects.get()
    _fold(first)
    after = Grant.objects.get()
    assert (after.pk, after.public_id) == (before.pk, before.public_id)
    assert (before.issued_at, after.issued_at) == (MONDAY + HOUR, MONDAY)


@pytest.mark.once
@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(10)), cuts=st.lists(st.integers(0, 10), max_size=4), twice=st.booleans())
def test_any_order_batching_and_repetition_gives_the_same_grants(
    order: list[int], cuts: list[int], twice: bool
) -> None:
    events = [
        *life(),
        told("granted", MONDAY + 4 * HOUR, units=[unit("other", "write")], duration_seconds=7200.0),
        told("revoked", MONDAY + HOUR),
        told("granted", MONDAY, "req_2", who="ben"),
        told("granted", MONDAY + HOUR, "req_2", who="ben", duration_seconds=None),
        told("revoked", MONDAY + HOUR, "req_2", who="ben"),
        told("expired", MONDAY, "req_3", who="ben"),
    ]
    tables = ("event", "batch", "series", "accessrequest", "accessflow", "grant")
    forget(*tables)
    _fold(*events)
    whole = _grants()
    forget(*tables)
    shuffled = [events[number] for number in order]
    edges = [0, *sorted(cuts), len(events)]
    for first, last in itertools.pairwise(edges):
        _fold(*shuffled[first:last])
        if twice:
            _fold(*shuffled[first:last])
    assert _grants() == whole
    assert [(grant["status"], grant["scopes"]) for grant in whole] == [("active", ["write"]), ("revoked", ["read"])]


def _grants() -> list[dict[str, Any]]:
    return list(Grant.objects.order_by("request_id").values(*COLUMNS))


@pytest.mark.parametrize(
    ("fields", "hours"),
    [
        ({"duration_seconds": 7200.0}, 2),
        ({"duration_seconds": 7200.0, "revoked_at": (MONDAY + 5 * HOUR).timestamp()}, 5),
        ({"duration_seconds": 7200.0, "revoked_at": (MONDAY - HOUR).timestamp()}, 2),  # told of something else
        ({"duration_seconds": None}, None),
        ({"duration_seconds": 0.0}, None),
        ({"duration_seconds": 9e11}, None),  # no time that there is
        ({"duration_seconds": None, "revoked_at": 1e300}, None),
    ],
)
def test_a_grant_lasts_as_planned(fields: dict[str, Any], hours: int | None) -> None:
    _fold(told("granted", **fields))
    assert Grant.objects.get().expires_at == (None if hours is None else MONDAY + hours * HOUR)


def test_a_grant_that_says_nothing_of_what_and_how_long_is_for_what_was_asked() -> None:
    _fold(told("created"), told("granted", MONDAY + HOUR, units=[], duration_seconds=None))
    grant = Grant.objects.get()
    assert (grant.scopes, grant.expires_at) == (["read"], MONDAY + 2 * HOUR)


def test_what_was_granted_may_be_less_than_what_was_asked_for() -> None:
    _fold(told("created", units=[unit(), unit("orders", "admin")]), told("granted", MONDAY + HOUR, units=[unit()]))
    assert Grant.objects.get().scopes == ["read"]


def test_what_a_person_revoked_stays_so_whatever_events_tell_later() -> None:
    created, granted, expired = _told("created granted expired")
    _fold(created, granted)
    at = MONDAY + 1.5 * HOUR
    access.revoke_grant(Grant.objects.get(), by=ANA, at=at)
    _fold(expired, told("approved", MONDAY))
    grant, request = Grant.objects.get(), AccessRequest.objects.get()
    assert (grant.status, grant.revoked_at, grant.revoked_by, grant.ended_by_event) == ("revoked", at, "ana", "")
    assert [(one.type, one.actor) for one in access_requests.history_of(request)] == [
        ("created", "Ana"), ("approved", ""), ("granted", ""), ("revoked", "ana"), ("expired", ""),
    ]  # fmt: skip


def test_revoking_a_grant_revokes_its_request_and_says_who_did() -> None:
    _fold(*_told("created granted"))
    grant = Grant.objects.get()
    access.revoke_grant(grant, by=ANA, at=MONDAY + 2 * HOUR)
    request = AccessRequest.objects.get()
    assert (grant.status, request.status, request.ended_at) == ("revoked", "revoked", MONDAY + 2 * HOUR)
    assert access_requests.history_of(request)[-1].actor == "ana"
    with pytest.raises(access.GrantNotActiveError, match="is already revoked"):
        access.revoke_grant(grant, by=Actor(name="ben"), at=MONDAY + 3 * HOUR)
    assert grant.revoked_by == "ana"


def test_access_that_is_granted_anew_after_a_person_revoked_it_stands_again() -> None:
    _fold(*_told("created granted"))
    access.revoke_grant(Grant.objects.get(), by=ANA, at=MONDAY + 2 * HOUR)
    for _ in range(2):
        _fold(told("granted", MONDAY + 3 * HOUR))
        grant = Grant.objects.get()
        assert (grant.status, grant.issued_at, grant.revoked_by) == ("active", MONDAY + 3 * HOUR, "")


def test_a_clock_that_is_ahead_takes_no_revocation_back() -> None:
    _fold(*_told("created granted"))
    access.revoke_grant(Grant.objects.get(), by=ANA, at=MONDAY)  # an hour before it was granted, as its source says
    assert Grant.objects.get().revoked_at == MONDAY + HOUR
    _fold(told("approved", MONDAY))
    assert Grant.objects.get().revoked_by == "ana"


def test_a_request_that_gives_no_access_cannot_be_revoked() -> None:
    _fold(told("created"))
    with pytest.raises(access_requests.NotActiveError, match="AR-1 gives no access: it is pending"):
        access_requests.revoke(AccessRequest.objects.get(), by=ANA, at=MONDAY)


def test_what_gone_events_told_of_a_grant_is_kept() -> None:
    _fold(*life()[:3])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM anomalies_event")
    _fold(told("revoked", MONDAY + 10 * HOUR, units=[unit("other", "write")]))
    grant = Grant.objects.get()
    assert (grant.issued_at, grant.scopes, grant.status) == (MONDAY + 2 * HOUR, ["read"], "revoked")


def test_a_grant_of_a_request_is_none_of_the_agent_that_told_of_it() -> None:
    """Whoever spikes by telling of many requests loses nobody's access by the response policy."""
    _fold(*_told("created granted"))
    access.set_response_mode("revoke_agent_grants", by=ANA, at=MONDAY)
    spike = make.anomaly(agent=make.agent("apono"))
    assert access.respond(spike.scan, by=ANA, at=MONDAY + HOUR) == 0
    assert Grant.objects.get().status == "active"


def test_events_that_name_the_grant_of_a_request_make_no_second_one() -> None:
    _fold(*_told("created granted"))
    public_id = Grant.objects.get().public_id
    _fold(record(MONDAY + 2 * HOUR, 1, grant_id=public_id, principal_id="ana"))
    grant = Grant.objects.get()
    assert (grant.public_id, grant.agent, grant.request_id) == (public_id, None, "req_1")


def test_many_requests_cost_as_many_queries_as_one() -> None:
    cost = []
    for requests in (1, 2, 20):  # the first names its requester, too
        forget("event", "batch", "series", "accessrequest", "accessflow", "grant")
        store([event for n in range(requests) for event in life(f"req_{n}")])
        with CaptureQueriesContext(connection) as queries:
            counts.count_some()
        cost.append(len(queries))
        assert Grant.objects.count() == requests
    assert cost[1] == cost[2]


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_nobody_revokes_a_request_between_its_reading_and_its_writing(
    at_once: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation that came between would be lost."""
    _fold(*_told("created granted"))
    tried: list[str] = []

    def revoke() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")
                access.revoke_grant(Grant.objects.get(), by=ANA, at=MONDAY + 2 * HOUR)
        except OperationalError as error:
            tried.append(type(error.__cause__).__name__)

    def read(*args: Any, **kwargs: Any) -> Any:
        at_once([revoke])
        return told_by_events(*args, **kwargs)

    told_by_events = access_requests._told
    monkeypatch.setattr(access_requests, "_told", read)
    _fold(told("approved", MONDAY))
    assert tried == ["LockNotAvailable"]

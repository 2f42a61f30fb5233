"""services/access_requests: one row a request, whatever order its events came in, and what detectors know of it."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalies.ingest.access_request import Requester, Unit
from anomalies.ingest.record import EventRecord
from anomalies.models import AccessFlow, AccessRequest, Event, Principal
from anomalies.services import access_requests, counts
from tests.services.access_requests import APPROVED, HOUR, REJECTED, life, told, unit
from tests.services.days import MONDAY, forget, record, store

pytestmark = pytest.mark.django_db

LATER = MONDAY + timedelta(days=60)
COLUMNS = [field.attname for field in AccessRequest._meta.concrete_fields if field.attname not in ("id", "source_id")]


def _fold(*records: EventRecord, source: str = "test") -> None:
    store(records, source)
    while counts.count_some().batches:
        pass


def _row() -> dict[str, Any]:
    return AccessRequest.objects.values(*COLUMNS).get()


def _facts(**times: Any) -> Any:
    return access_requests.facts(["ana"], **{"since": MONDAY, "until": LATER, **times}).get("ana")


def test_a_request_is_what_its_events_tell() -> None:
    _fold(*life())
    row = AccessRequest.objects.get()
    assert (row.public_id, row.friendly_id, row.status) == ("req_1", "AR-1", "expired")
    assert (row.requester_id, row.flow_id, row.source.name) == ("ana", "flow_1", "test")
    assert (row.requested_at, row.approved_at, row.ended_at) == (MONDAY, MONDAY + HOUR, MONDAY + 3 * HOUR)
    assert (row.duration_seconds, row.justification) == (3600, "Ticket OPS-12")
    assert [entry["type"] for entry in row.history] == ["created", "approved", "granted", "expired"]
    assert [entry["actor"] for entry in row.history] == ["Ana", "Ben Keller", "", ""]
    assert row.units[0]["resource"] == "orders"
    assert AccessFlow.objects.get().name == "Databases"
    assert Principal.objects.values_list("name", "email").get(public_id="ana") == ("Ana", "ana@example.com")


@pytest.mark.parametrize(
    ("types", "status"),
    [
        ("created", "pending"),
        ("created approved", "pending"),
        ("created approved granted", "active"),
        ("created granted approved", "active"),
        ("created rejected", "rejected"),
        ("created approved granted revoked", "revoked"),
        ("created approved granted expired", "expired"),
        ("created approved failed", "failed"),
        ("created rejected approved", "pending"),
        ("approved", "pending"),
        ("granted", "active"),
    ],
)
def test_the_last_event_says_the_status(types: str, status: str) -> None:
    _fold(*(told(type_, MONDAY + n * HOUR) for n, type_ in enumerate(types.split())))
    row = AccessRequest.objects.get()
    assert row.status == status
    assert (row.ended_at is None) == (status in ("pending", "active"))


@pytest.mark.once
@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(8)), cuts=st.lists(st.integers(0, 8), max_size=4), twice=st.booleans())
def test_any_order_batching_and_repetition_gives_the_same_row(order: list[int], cuts: list[int], twice: bool) -> None:
    events = [
        *life(),
        told("rejected", MONDAY, approvals=[REJECTED], units=[unit("other")], justification="Other"),
        told("created", MONDAY, "req_2", who="ben"),
        told("approved", MONDAY, "req_2", who="ben", flow=None),
        told("created", MONDAY + HOUR, justification="", friendly_id="AR-9"),
    ]
    forget("event", "batch", "series", "accessrequest", "accessflow")
    _fold(*events)
    whole = list(AccessRequest.objects.order_by("public_id").values(*COLUMNS))
    forget("event", "batch", "series", "accessrequest", "accessflow")
    shuffled = [events[number] for number in order]
    edges = [0, *sorted(cuts), len(events)]
    for first, last in itertools.pairwise(edges):
        _fold(*shuffled[first:last])
        if twice:
            _fold(*shuffled[first:last])
    assert list(AccessRequest.objects.order_by("public_id").values(*COLUMNS)) == whole
    assert len(whole) == 2


def test_an_approval_may_come_before_its_request() -> None:
    created, approved = told("created", MONDAY, justification="Why"), told("approved", MONDAY + HOUR, justification="")
    _fold(approved)
    early = AccessRequest.objects.get()
    assert (early.status, early.requested_at, early.known_at) == ("pending", MONDAY + HOUR, MONDAY + HOUR)
    _fold(created)
    row = AccessRequest.objects.get()
    assert (row.pk, row.requested_at, row.known_at, row.justification) == (early.pk, MONDAY, MONDAY, "Why")
    assert [entry["type"] for entry in row.history] == ["created", "approved"]


def test_without_its_creation_a_request_was_made_when_the_others_say() -> None:
    _fold(told("approved", MONDAY, requested_at=(MONDAY - HOUR).timestamp()))
    row = AccessRequest.objects.get()
    assert (row.requested_at, row.known_at) == (MONDAY - HOUR, MONDAY)


def test_what_the_source_never_says_stays_empty() -> None:
    bare = {"friendly_id": "", "requester": Requester(id="ana"), "justification": "", "flow": None, "units": []}
    _fold(told("created", duration_seconds=None, **bare))
    row = AccessRequest.objects.get()
    assert (row.friendly_id, row.justification, row.flow_id, row.duration_seconds) == ("", "", None, None)
    assert (row.grantee, row.units, row.approvals, row.approved_at, row.ended_at) == ({}, [], [], None, None)
    assert not AccessFlow.objects.exists()
    assert Principal.objects.get(public_id="ana").name == ""


def test_names_that_are_known_already_are_kept() -> None:
    AccessFlow.objects.create(public_id="flow_1", name="Ours")
    Principal.objects.create(public_id="ana", name="Ana Lopez")
    _fold(told("created"))
    assert AccessFlow.objects.get().name == "Ours"
    assert Principal.objects.values_list("name", "email").get() == ("Ana Lopez", "ana@example.com")


def test_one_id_is_one_request_whichever_sources_tell_of_it() -> None:
    _fold(*life()[:2], source="webhook")
    _fold(*life(), source="export")
    row = AccessRequest.objects.get()
    assert Event.objects.count() == 6
    assert [entry["type"] for entry in row.history] == ["created", "approved", "granted", "expired"]


def test_an_event_without_details_tells_of_what_its_columns_name() -> None:
    fields: dict[str, Any] = {"action": "access_request.created", "request_id": "req_1", "principal_id": "ana"}
    fields |= {"integration": "aws", "resource": "bucket-1", "resource_type": "bucket", "permission": "write"}
    _fold(record(MONDAY, 1, **fields))
    row = AccessRequest.objects.get()
    assert row.units[0]["permission"] == "write"
    assert row.status == "pending"


def test_details_that_cannot_be_read_are_told_and_stop_nothing() -> None:
    fields: dict[str, Any] = {"request_id": "req_1", "principal_id": "ana", "permission": "read"}
    wrong = {"access_request": {"id": 7, "units": "none"}}
    _fold(record(MONDAY, 1, action="access_request.created", metadata=wrong, **fields), *life("req_2"))
    assert AccessRequest.objects.count() == 2
    assert AccessRequest.objects.get(public_id="req_1").history[0]["note"].startswith("metadata.access_request: ")


@pytest.mark.parametrize("wild", [{"duration_seconds": 1e300}, {"requested_at": 1e300}, {"friendly_id": "x" * 300}])
def test_wild_figures_stop_nothing(wild: dict[str, Any]) -> None:
    _fold(told("approved", **wild))
    assert AccessRequest.objects.count() == 1


def test_other_events_with_a_request_id_are_no_request() -> None:
    _fold(record(MONDAY, 1, request_id="req_1", principal_id="ana"))
    assert not AccessRequest.objects.exists()


def test_what_gone_events_told_is_kept() -> None:
    created, approved, granted, expired = life()
    _fold(created, approved)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM anomalies_event")
    _fold(told("granted", granted.time, flow=None, units=[]), expired)
    row = AccessRequest.objects.get()
    assert [entry["type"] for entry in row.history] == ["created", "approved", "granted", "expired"]
    assert (row.requested_at, row.approved_at, row.flow_id) == (MONDAY, MONDAY + HOUR, "flow_1")
    assert row.units


def test_batches_without_requests_cost_one_query(django_assert_num_queries: Any) -> None:
    store([record(MONDAY, 1, principal_id="ana")])
    chosen = {"ids": [Event.objects.get().batch_id], "first": MONDAY, "last": MONDAY}
    with django_assert_num_queries(1), connection.cursor() as cursor:
        access_requests.fold(cursor, chosen)


def test_detectors_know_decisions_with_who_made_them() -> None:
    _fold(told("created"), told("rejected", MONDAY + HOUR, approvals=[REJECTED, APPROVED]))
    [request] = _facts().requests
    [decision] = request.decisions
    assert (decision.approved, decision.by, decision.by_person) == (False, "Olga Novak", True)
    assert (request.name, request.flow, request.units[0].resource) == ("AR-1", "flow_1", "orders")


def test_a_grant_without_a_word_of_approval_is_one() -> None:
    _fold(told("created"), told("granted", MONDAY + HOUR))
    [request] = _facts().requests
    assert [(decision.approved, decision.by_person) for decision in request.decisions] == [(True, False)]


def test_what_happens_later_is_not_known_yet() -> None:
    _fold(*life())
    [request] = _facts(until=MONDAY + timedelta(minutes=30)).requests
    assert request.decisions == ()
    assert _facts(until=MONDAY) is None


def test_times_go_back_for_years_and_old_requests_do_not() -> None:
    _fold(told("created", MONDAY - timedelta(days=800), "req_0"), told("created"))
    asked = _facts()
    assert len(asked.times) == 2
    assert [request.id for request in asked.requests] == ["req_1"]


def test_old_rejections_by_people_and_requests_approved_lately_are_known() -> None:
    long_ago = MONDAY - timedelta(days=80)
    _fold(
        told("created", long_ago, "req_2"),
        told("rejected", long_ago, "req_2", approvals=[REJECTED]),
        told("created", long_ago, "req_3"),
        told("approved", MONDAY + HOUR, "req_3"),
        told("created", long_ago, "req_4"),
        told("rejected", long_ago, "req_4"),
    )
    assert [request.id for request in _facts().requests] == ["req_2", "req_3"]


def test_what_becomes_of_a_request_is_no_deed_of_its_requester() -> None:
    old = MONDAY - timedelta(days=100)
    _fold(
        record(old - timedelta(days=5), 1, principal_id="ana"),
        told("created", old, "req_0"),
        told("expired", MONDAY - timedelta(days=50), "req_0"),
        told("created"),
    )
    [*_, request] = _facts().requests
    assert request.active_at == old.timestamp()
    assert _facts().first_seen == (old - timedelta(days=5)).timestamp()


def test_resources_are_told_apart_by_their_ids() -> None:
    _fold(told("created", units=[Unit(integration_id="i1", resource_id="r1", resource="users", tags=["pii"])]))
    [asked] = _facts().requests[0].units
    assert (asked.integration, asked.resource, asked.resource_id, asked.tags) == ("i1", "users", "r1", ("pii",))

"""api/cloudlock_v2: the list, its parameters and what is an item."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from anomalies.api.cloudlock_v2 import threat
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, ReviewEntry, Scan, Suppression
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make
from tests.api.cloudlock_v2.expected import CREATED, SEED, error, of_the_seed
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

ANA = Actor(name="ana")
MICROSECOND = timedelta(microseconds=1)


def ids(call: Call, **parameters: Any) -> list[int]:
    answer = call("GET", f"/api/v2/threats?{urlencode(parameters)}")
    assert answer.status_code == 200, answer.content
    if not parameters.keys() & {"limit", "offset"}:
        assert answer.json()["total"] == answer.json()["results"]
    return [item["id"] for item in answer.json()["items"]]


def numbered(*numbers: int, **fields: Any) -> None:
    """Anomalies of these ids, each a second younger than the one before."""
    for number in numbers:
        make.anomaly(**{"id": number, "created_at": CREATED + timedelta(seconds=number), **fields})


def test_the_list_is_as_documented(call: Call) -> None:
    of_the_seed()
    answer = call("GET", "/api/v2/threats")
    assert answer["content-type"] == "application/json"
    assert answer.json() == {"limit": 50, "offset": 0, "total": 1, "results": 1, "items": [SEED]}


def test_one_is_told_as_in_the_list(call: Call) -> None:
    of_the_seed()
    assert call("GET", "/api/v2/threats/1003391").json() == SEED


def test_an_empty_list_is_as_documented(call: Call) -> None:
    assert call("GET", "/api/v2/threats").json() == {"limit": 50, "offset": 0, "total": 0, "results": 0, "items": []}


def test_total_counts_all_that_match_and_results_those_of_the_page(call: Call) -> None:
    numbered(*range(1, 53))
    told = call("GET", "/api/v2/threats").json()
    assert (told["limit"], told["offset"], told["total"], told["results"]) == (50, 0, 52, 50)
    told = call("GET", "/api/v2/threats?limit=30&offset=50").json()
    assert (told["limit"], told["offset"], told["total"], told["results"]) == (30, 50, 52, 2)
    assert call("GET", "/api/v2/threats?offset=99").json()["items"] == []


def test_the_latest_created_comes_first_as_on_the_page(call: Call) -> None:
    numbered(1, 2, 3)
    assert ids(call) == [3, 2, 1]


def test_limit_and_offset_cut_a_page(call: Call) -> None:
    numbered(1, 2, 3, 4)
    assert ids(call, limit=2, offset=1, order="created_at") == [2, 3]


@pytest.mark.parametrize("field", sorted(SEED.keys() - {"platforms", "locations", "users"}))
@pytest.mark.parametrize("descending", [False, True])
def test_every_scalar_field_orders_and_ties_go_by_id(call: Call, field: str, descending: bool) -> None:
    at = {"created_at": CREATED, "updated_at": CREATED, "started_at": CREATED - timedelta(hours=1)}
    for number in (4, 2, 3, 1):
        make.anomaly(id=number, **{**at, "active_until": CREATED})
    make.anomaly(
        id=9,
        type="suspicious_login",
        title="b",
        description="b",
        ip="192.0.2.1",
        evidence={**make.EVIDENCE, "entity": "location", "event_count": 500},
        created_at=CREATED + MICROSECOND,
        updated_at=CREATED + MICROSECOND,
        started_at=CREATED - timedelta(minutes=1),
        active_until=CREATED + MICROSECOND,
    )
    told = ids(call, order=f"{'-' if descending else ''}{field}")
    ties = [number for number in told if number != 9]
    assert ties == ([4, 3, 2, 1] if descending else [1, 2, 3, 4])
    assert told.index(9) in (0, 4)
    assert {*told} == {1, 2, 3, 4, 9}


def test_order_by_time_is_exact_to_the_microsecond(call: Call) -> None:
    for number, microseconds in ((1, 2), (2, 0), (3, 1)):
        make.anomaly(id=number, created_at=CREATED + microseconds * MICROSECOND)
    assert ids(call, order="created_at") == [2, 3, 1]
    assert ids(call, order="-created_at") == [1, 3, 2]


@pytest.mark.parametrize(
    "spelt",
    [
        "2020-09-19T03:16:50.016438+00:00",
        "2020-09-19 03:16:50.016438",
        "2020-09-19T03:16:50.016438Z",
        "2020-09-19T05:16:50.016438+02:00",
        "2020-09-18T22:16:50.016438-0500",
    ],
)
def test_created_after_is_inclusive_and_created_before_is_not(call: Call, spelt: str) -> None:
    for number in (1, 2, 3):
        make.anomaly(id=number, created_at=CREATED + (number - 2) * MICROSECOND)
    assert ids(call, created_after=spelt) == [3, 2]
    assert ids(call, created_before=spelt) == [1]


def test_a_time_is_understood_as_it_was_emitted_without_encoding(call: Call) -> None:
    of_the_seed()
    answer = call("GET", f"/api/v2/threats?created_after={SEED['created_at']}&created_before=2020-09-20")
    assert answer.json()["results"] == 1


def test_a_date_is_its_midnight_in_utc(call: Call) -> None:
    make.anomaly(id=1, created_at=datetime(2020, 9, 19, tzinfo=UTC) - MICROSECOND)
    make.anomaly(id=2, created_at=datetime(2020, 9, 19, tzinfo=UTC))
    assert ids(call, created_after="2020-09-19") == [2]
    assert ids(call, created_before="2020-09-19") == [1]


def test_start_time_is_of_the_last_days_or_since_a_time(call: Call) -> None:
    now = timezone.now()
    make.anomaly(id=1, started_at=now - timedelta(days=30, minutes=1))
    make.anomaly(id=2, started_at=now - timedelta(days=29, hours=23))
    assert ids(call, start_time=30) == [2]
    assert ids(call, start_time=31, order="-start_time") == [2, 1]
    assert ids(call, start_time=(now - timedelta(days=30)).date().isoformat(), order="start_time")[-1] == 2
    assert ids(call, start_time=(now - timedelta(days=30)).isoformat()) == [2]


@pytest.mark.parametrize("spelt", ["DISMISSED", "Dismissed", "dismissed"])
def test_status_is_of_any_case(call: Call, spelt: str) -> None:
    numbered(1, 2)
    reviews.resolve(Anomaly.objects.get(pk=1), verdict="benign", by=ANA, at=make.NOW)
    assert ids(call, status=spelt) == [1]
    assert ids(call, status="aCtIvE") == [2]


def test_filters_combine(call: Call) -> None:
    numbered(1, 2, 3, 4, 5, started_at=timezone.now() - timedelta(days=1))
    numbered(6)  # began earlier
    Anomaly.objects.filter(pk=6).update(started_at=CREATED)
    reviews.resolve(Anomaly.objects.get(pk=3), verdict="benign", by=ANA, at=make.NOW)
    after, before = (CREATED + timedelta(seconds=number) for number in (2, 7))
    told = call(
        "GET",
        "/api/v2/threats?limit=1&offset=1&order=-created_at&status=active&start_time=2"
        f"&created_after={quote(after.isoformat())}&created_before={quote(before.isoformat())}",
    ).json()
    assert (told["total"], [item["id"] for item in told["items"]]) == (3, [4])


WRONG = {
    "limit": ["0", "100001", "-1", "1.0", "1e2", "ten", "", " 5", "+5", "1_0", "٣", "9" * 400, "5;drop", "\x00"],
    "offset": ["-1", "1.5", "", "x", "9" * 19, "٣", "1_0"],
    "start_time": ["0", "-30", "36501", "30d", "", "9" * 30, "2020-13-01", "2020-02-30", "yesterday", "\x00"],
    "status": ["OPEN", "", "act\u0131ve", "ACTIVE,DISMISSED", "ACTIVE\x00", "'; --"],
    "created_after": [
        "", "30", "2020-09-31", "2020-9-1", "19/09/2020", "2020-09-19T25:00", "2020-09-19T03:16:50.0164381", "now",
        "0001-01-01T00:00:00+14:00", "2020-09-19T03:16:50+99:00", "2020-W38-6", "20200919", "2020-09-19T", "\x00",
    ],
    "created_before": ["", "30", "2020-09-31", "2020-09-19 03:16:50 +", "٢٠٢٠-٠٩-١٩"],
    "order": ["", "-", "--id", "users", "platforms", "locations", "pk", "evidence", "id;", "ID", "id,-status", "\x00"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
@pytest.mark.parametrize("path", ["/api/v2/threats", "/api/v2/threats.csv"])
def test_another_value_is_400_naming_the_parameter(call: Call, path: str, name: str, value: str) -> None:
    error(call("GET", f"{path}?{urlencode({name: value})}"), 400, "BAD_REQUEST", field=name)


@pytest.mark.parametrize(
    ("query", "field"),
    [("Limit=5", "Limit"), ("state=ACTIVE", "state"), ("limit=5&limit=5", "limit"), ("=1", ""), ("%00=1", "\x00")],
)
def test_a_parameter_that_is_unknown_or_there_twice_is_400(call: Call, query: str, field: str) -> None:
    for path in ("/api/v2/threats", "/api/v2/threats.csv"):
        error(call("GET", f"{path}?{query}"), 400, "BAD_REQUEST", field=field)


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "1"), ("limit", "100000"), ("offset", "0"), ("offset", "9" * 18), ("start_time", "1"),
                        ("start_time", "36500"), ("created_after", "0001-01-01"), ("created_before", "9999-12-31")]
)  # fmt: skip
def test_the_outermost_values_are_taken(call: Call, name: str, value: str) -> None:
    assert call("GET", f"/api/v2/threats?{name}={value}").status_code == 200


def test_the_list_costs_the_same_queries_for_any_length(call: Call, django_assert_num_queries: Any) -> None:
    call("GET", "/api/v2/threats")  # notes that the key was used
    make.anomaly(id=10_000)
    template = Anomaly.objects.get()
    people = [make.principal(f"user_{number}", email=f"{number}@example.com").public_id for number in range(20)]
    for number in range(1, 1000):
        template.pk, template.public_id, template.fingerprint = number, f"anom_{number}", f"of-{number}"
        template.principal_ids = [people[number % 20]]
        template._state.adding = True
        template.save(force_insert=True)
    for limit in (50, 1000):
        with django_assert_num_queries(4):  # the key, the page, its users and the total
            assert call("GET", f"/api/v2/threats?limit={limit}").json()["results"] == limit


@pytest.mark.parametrize(("limit", "short"), [(2, True), (3, False)])
def test_more_than_come_at_once_are_read_by_their_numbers(
    call: Call, monkeypatch: pytest.MonkeyPatch, limit: int, short: bool
) -> None:
    monkeypatch.setattr(threat, "ROWS_AT_ONCE", 2)
    make.copies(
        make.anomaly(id=1, created_at=CREATED), [CREATED + timedelta(seconds=n // 2) for n in range(1, 6)], first=2
    )
    with CaptureQueriesContext(connection) as made:
        items = call("GET", f"/api/v2/threats?limit={limit}&offset=1&order=-description").json()["items"]
    assert [item["id"] for item in items] == [5, 4, 3][:limit]
    assert any("= ANY(" in query["sql"] and "anomaly" in query["sql"] for query in made.captured_queries) is not short


@pytest.mark.parametrize("microsecond", [0, 1, 16_438, 500_000])
def test_times_are_as_isoformat_has_them(call: Call, microsecond: int) -> None:
    at = CREATED.replace(microsecond=microsecond)
    make.anomaly(id=1, created_at=at, updated_at=at, started_at=at, active_until=at)
    told = call("GET", "/api/v2/threats/1").json()
    for name in ("created_at", "updated_at", "detected_at", "start_time", "end_time"):
        assert told[name] == at.isoformat()


def test_what_is_behind_it_is_told(call: Call) -> None:
    make.principal("user_1", name="Lee", email="lee@example.com")
    make.principal("user_2", name="Kim")
    make.anomaly(
        id=1,
        ip="198.51.100.7",
        title="Nightly export",
        platforms=["aws", "office365"],
        countries=["MY", "XX"],
        principal_ids=["user_1", "user_2", "gone@example.com"],
    )
    told = call("GET", "/api/v2/threats/1").json()
    assert (told["platforms"], told["locations"]) == (["aws", "office365"], ["Malaysia", "XX"])
    assert (told["suspicious_ip"], told["short_description"]) == ("198.51.100.7", "Nightly export")
    assert told["users"] == [
        {"display_name": "Lee", "email": "lee@example.com"},
        {"display_name": "Kim", "email": None},
        {"display_name": "gone@example.com", "email": "gone@example.com"},
    ]


@pytest.mark.parametrize("type_", DETECTORS)
def test_every_type_has_a_risk_and_an_entity(call: Call, type_: str) -> None:
    make.anomaly(id=1, type=type_, kind="principal", entity="user_1")
    told = call("GET", "/api/v2/threats/1").json()
    assert told["threat_type"] == type_
    assert told["threat_risk"] == DETECTORS[type_].risk
    assert told["threat_entity"] == (DETECTORS[type_].entity or "user")


@pytest.mark.parametrize(("kind", "entity"), [("agent", "agent"), ("principal", "user"), ("address", "ip")])
def test_a_spike_is_of_whoever_it_is_of(call: Call, kind: str, entity: str) -> None:
    make.anomaly(id=1, kind=kind)
    assert call("GET", "/api/v2/threats/1").json()["threat_entity"] == entity


@pytest.mark.parametrize("entity", ["location", "ip", "user"])
def test_a_suspicious_login_says_itself_what_is_suspicious(call: Call, entity: str) -> None:
    make.anomaly(id=1, type="suspicious_login", evidence={**make.EVIDENCE, "entity": entity})
    assert call("GET", "/api/v2/threats/1").json()["threat_entity"] == entity


def test_acknowledged_and_snoozed_are_active_somebody_is_to_act_yet(call: Call) -> None:
    reviews.acknowledge(make.anomaly(id=1), by=ANA, at=make.NOW)
    reviews.snooze(make.anomaly(id=2), until=make.NOW + timedelta(days=1), by=ANA, at=make.NOW)
    for item in call("GET", "/api/v2/threats").json()["items"]:
        assert (item["status"], item["dismissed_at"], item["dismiss_reason"]) == ("ACTIVE", None, None)


def test_suppressed_and_withdrawn_are_dismissed_by_nobody(call: Call) -> None:
    make.anomaly(id=1, suppression=Suppression.objects.create(reason="The auditors' scan", owner="ana"))
    make.anomaly(id=2, state="withdrawn", ended_at=make.NOW)
    told = [
        (item["id"], item["status"], item["dismissed_at"], item["dismiss_reason"])
        for item in call("GET", "/api/v2/threats?order=id&status=dismissed").json()["items"]
    ]
    assert told == [(1, "DISMISSED", None, "suppressed"), (2, "DISMISSED", None, "withdrawn")]


@pytest.mark.parametrize(
    ("verdict", "reason", "told"),
    [
        ("false_positive", "", "false_positive"),
        ("benign", "", "expected_behavior"),
        ("true_positive", "", "resolved"),
        ("duplicate", "", "duplicate"),
        ("test", "", "other"),
        ("benign", "The auditors' scan", "The auditors' scan"),
    ],
)
def test_what_was_resolved_on_the_page_is_dismissed_with_its_reason(
    call: Call, verdict: str, reason: str, told: str
) -> None:
    reviews.resolve(make.anomaly(id=1), verdict=verdict, by=ANA, at=CREATED, reason=reason)
    item = call("GET", "/api/v2/threats/1").json()
    assert (item["status"], item["dismissed_at"]) == ("DISMISSED", "2020-09-19T03:16:50.016438+00:00")
    assert item["dismiss_reason"] == told


def test_what_was_merged_as_it_was_raised_is_no_item(call: Call) -> None:
    scan = make.scan()
    whole = make.anomaly(id=1, scan=scan)
    part = make.anomaly(id=2, scan=scan, merged_into=whole)
    ReviewEntry.objects.create(anomaly=part, action="merged", at=scan.now, actor="detection")
    assert ids(call) == [1]
    error(call("GET", "/api/v2/threats/2"), 404, "NOT_FOUND")


def test_what_was_an_item_stays_one_when_it_is_merged_or_a_poller_misses_another(call: Call) -> None:
    part = make.anomaly(id=1, created_at=CREATED)
    assert ids(call, order="created_at") == [1]
    later = make.scan(now=make.NOW + timedelta(minutes=1))
    whole = make.anomaly(id=2, created_at=CREATED + MICROSECOND, scan=later)
    Anomaly.objects.filter(pk=part.pk).update(merged_into=whole)
    ReviewEntry.objects.create(anomaly=part, action="merged", at=later.now, actor="detection")
    assert ids(call, order="created_at", created_after=CREATED.isoformat(), offset=1) == [2]
    item = call("GET", "/api/v2/threats/1").json()
    assert (item["status"], item["dismissed_at"], item["dismiss_reason"]) == ("DISMISSED", None, "duplicate")


def test_what_a_scan_raises_is_shown_once_the_scan_is_over(call: Call) -> None:
    make.anomaly(id=1)
    under_way = make.scan(finished_at=None)
    make.anomaly(id=2, scan=under_way)
    assert ids(call) == [1]
    Scan.objects.filter(pk=under_way.pk).update(finished_at=make.NOW)
    assert {*ids(call)} == {1, 2}


def test_what_a_scan_merges_while_it_runs_is_left_out_of_the_total_once(call: Call) -> None:
    make.anomaly(id=1)
    under_way = make.scan(finished_at=None)
    part = make.anomaly(id=2, scan=under_way, merged_into=make.anomaly(id=3, scan=under_way))
    ReviewEntry.objects.create(anomaly=part, action="merged", at=under_way.now, actor="detection")
    assert ids(call) == [1]


def test_what_a_scan_raised_that_died_is_shown_when_the_next_one_begins(call: Call) -> None:
    make.anomaly(id=1, scan=make.scan(finished_at=None))
    assert ids(call) == []
    make.scan(finished_at=None)
    assert ids(call) == [1]


@pytest.mark.parametrize("threat_id", ["2", "0", "-1", "01", "x", "1.0", "9" * 19, "9" * 400, "%00", "٣", "anom_1"])
def test_an_unknown_id_is_404(call: Call, threat_id: str) -> None:
    make.anomaly(id=1)
    assert "no threat" in error(call("GET", f"/api/v2/threats/{quote(threat_id, safe='%')}"), 404, "NOT_FOUND")


def test_what_a_detector_is_called_may_hold_any_sign() -> None:
    told = threat._case("kind", {"agent's": "100% {refused}"}, "''")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {told} FROM (SELECT %s AS kind) AS a", ["agent's"])
        assert cursor.fetchone() == ("100% {refused}",)

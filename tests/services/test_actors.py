"""services/actors: agents and users, page by page."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from anomalies.models import Agent, BucketBlock, Series, Severity
from anomalies.services import actors
from anomalies.services.actors import Wanted
from tests import make

pytestmark = pytest.mark.django_db
AGENT, PRINCIPAL = Series.Kind.AGENT, Series.Kind.PRINCIPAL
DAY = datetime(2026, 11, 20, tzinfo=UTC)


def requests(entity: str, *counts: int, kind: str = AGENT, day: datetime = DAY) -> None:
    """So many requests in the first hours of a day."""
    series, _ = Series.objects.get_or_create(
        kind=kind,
        entity=entity,
        metric=Series.Metric.REQUESTS,
        defaults={"first_time": day, "last_time": day + timedelta(hours=23)},
    )
    hours = [*counts, *[0] * (24 - len(counts))]
    BucketBlock.objects.create(series=series, resolution_seconds=3600, start=day, counts=hours)


def ids(wanted: Wanted, kind: str = AGENT, **page: str) -> list[str]:
    found = actors.listed(kind, wanted, now=make.NOW, size=50, **page)
    return [row.public_id for row in found.rows]


def test_the_worst_comes_first() -> None:
    for name, severities in {
        "ag_1": [Severity.MEDIUM] * 3,
        "ag_2": [Severity.LOW] * 4,
        "ag_3": [Severity.HIGH],
        "ag_4": [],
    }.items():
        for severity in severities:
            make.anomaly(agent=make.agent(name), severity=severity)
        make.agent(name)
    assert ids(Wanted()) == ["ag_3", "ag_1", "ag_2", "ag_4"]


def test_what_nobody_is_asked_about_does_not_count_as_open() -> None:
    make.anomaly(status="acknowledged", acknowledged_at=make.NOW, severity=Severity.HIGH)
    make.anomaly(snoozed_until=make.NOW)
    make.anomaly(state="withdrawn", ended_at=make.NOW)
    whole = make.anomaly(agent=make.agent("ag_2"), severity=Severity.LOW)
    make.anomaly(merged_into=whole)
    assert ids(Wanted()) == ["ag_2", "ag_billing"]
    lately = actors.lately(AGENT, ["ag_2", "ag_billing"], now=make.NOW)
    assert lately["ag_2"].undecided == {Severity.LOW: 1}
    assert lately["ag_billing"].undecided == {}


def test_requests_of_the_last_24_hours_alone_count() -> None:
    # At 12:00 the first of the 24 hours is the one that began at 13:00 the day before.
    make.agent("ag_1")
    make.agent("ag_2")
    requests("ag_1", 1, 2, *[0] * 10, 4, 500)
    requests("ag_1", *[100] * 13, 7, day=DAY - timedelta(days=1))
    requests("ag_2", 15)
    found = actors.lately(AGENT, ["ag_1", "ag_2"], now=make.NOW)["ag_1"]
    assert (found.total, found.requests[0], found.requests[-1]) == (14, 7, 4)
    assert ids(Wanted(sort="-requests")) == ["ag_2", "ag_1"]
    assert ids(Wanted(sort="requests")) == ["ag_1", "ag_2"]


@pytest.mark.parametrize("sort", [f"{sign}{name}" for name in actors.COLUMNS if name != "email" for sign in ("", "-")])
def test_pages_of_every_order_meet_without_a_gap_or_a_double(sort: str) -> None:
    for number in range(7):
        name = f"ag_{number}"
        make.agent(name, name="Twin" if number % 2 else name, group="x" if number % 3 else "", last_seen=make.NOW)
        requests(name, number // 2)
        if number > 4:
            make.anomaly(agent=make.agent(name))
    forth, start = [], ""
    while True:
        page = actors.listed(AGENT, Wanted(sort=sort), now=make.NOW, size=2, after=start)
        forth.append([row.public_id for row in page.rows])
        start = page.later
        if not start:
            break
    assert sorted(name for names in forth for name in names) == [f"ag_{number}" for number in range(7)]
    back, start = forth[-1:], page.earlier
    while start:
        page = actors.listed(AGENT, Wanted(sort=sort), now=make.NOW, size=2, before=start)
        back.insert(0, [row.public_id for row in page.rows])
        start = page.earlier
    assert back == [forth[0], *forth[1:]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(text="BILL"), ["ag_billing"]),
        (Wanted(text="100%"), []),
        (Wanted(text="_"), ["ag_billing", "ag_two"]),
        (Wanted(text="crew"), ["ag_two"]),
        (Wanted(text="Über"), ["other"]),
        (Wanted(status="suspended"), ["ag_two"]),
        (Wanted(status="active"), ["ag_billing"]),
        (Wanted(status="deleted"), ["other"]),
        (Wanted(group="the crew"), ["ag_two"]),
    ],
)
def test_filters_keep_what_they_name(wanted: Wanted, found: list[str]) -> None:
    make.agent("ag_billing")
    make.agent("ag_two", group="the crew", status=Agent.Status.SUSPENDED)
    make.agent("other", name="über", deleted_at=make.NOW)
    assert sorted(ids(wanted)) == found
    assert actors.count(AGENT, wanted, most=10) == len(found)


def test_users_are_found_by_their_e_mail() -> None:
    make.principal("user_1", email="ana@example.com")
    make.principal("user_2")
    requests("user_2", 3, kind=PRINCIPAL)
    assert ids(Wanted(text="ana@"), PRINCIPAL) == ["user_1"]
    assert ids(Wanted(sort="-requests"), PRINCIPAL) == ["user_2", "user_1"]


@pytest.mark.parametrize("kind", [AGENT, PRINCIPAL])
def test_what_is_up_for_review_is_counted_from_its_index_alone(kind: str) -> None:
    make.anomaly(severity=Severity.HIGH)
    with CaptureQueriesContext(connection) as asked:
        actors.listed(kind, Wanted("-open"), now=make.NOW, size=50)
    with connection.cursor() as cursor:
        # Of one row all indexes cost the same: the others go, until this transaction is taken back.
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'anomalies_anomaly'::regclass"
            " AND NOT indisunique AND indexrelid <> 'anomaly_to_review'::regclass"
        )
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; DROP INDEX {', '.join(name for (name,) in cursor.fetchall())}")
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        assert "Index Only Scan using anomaly_to_review " in " ".join(line for (line,) in cursor.fetchall())

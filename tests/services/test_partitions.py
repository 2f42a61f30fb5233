"""services/partitions: each day by itself, whoever makes it, and only the days that are asked for are read."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from anomalies.ingest.record import EventRecord
from anomalies.models import Event, Scan
from anomalies.services import access_requests, counts, events, logins, partitions, scans
from tests.make import NOW
from tests.services.access_requests import life, told
from tests.services.days import record

DAY = timedelta(days=1)

AtOnce = Callable[[Sequence[Callable[[], object]]], list[Any]]


def store(*times: datetime, at: datetime = NOW, name: str = "") -> events.Stored:
    given = [record(time, number, external_id=f"{name}{time}-{number}") for number, time in enumerate(times)]
    return events.store(given, source_name="test", format="native", received_at=at)


def table_of(time: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tableoid::regclass::text FROM anomalies_event WHERE time = %s", [time])
        [(name,)] = cursor.fetchall()
    return str(name)


@pytest.mark.django_db
def test_each_utc_day_has_its_own_partition() -> None:
    midnight = NOW.replace(hour=0)
    store(midnight - timedelta(microseconds=1), midnight, midnight + DAY - timedelta(microseconds=1))
    assert partitions.days() == [date(2026, 11, 19), date(2026, 11, 20)]
    assert table_of(midnight) == table_of(midnight + DAY - timedelta(microseconds=1)) == "anomalies_event_20261120"
    assert table_of(midnight - timedelta(microseconds=1)) == "anomalies_event_20261119"


@pytest.mark.django_db
def test_wild_clocks_make_no_partitions() -> None:
    wild = [NOW - (partitions.PAST_DAYS + 1 + n) * DAY for n in range(50)] + [NOW + 5 * DAY]
    assert store(*wild).accepted == 51
    assert store(*wild).duplicate == 51
    assert partitions.days() == []
    assert {table_of(time) for time in wild} == {partitions.DEFAULT}


@pytest.mark.django_db
def test_events_move_when_their_day_is_no_longer_far() -> None:
    ahead = NOW + 5 * DAY
    store(ahead, ahead + DAY)
    before = Event.objects.get(time=ahead)
    store(ahead + timedelta(hours=1), at=ahead)
    assert table_of(ahead) == "anomalies_event_20261125"
    assert table_of(ahead + DAY) == partitions.DEFAULT
    assert Event.objects.get(time=ahead).pk == before.pk
    assert store(ahead, at=ahead).duplicate == 1


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_writers_of_the_same_new_days_make_each_once_and_never_deadlock(at_once: AtOnce) -> None:
    times = [NOW - n * DAY for n in range(12)] + [NOW - 900 * DAY, NOW + 9 * DAY]

    def writer(number: int) -> Callable[[], int]:
        mine = times[number:] + times[:number]
        return lambda: store(*mine[:9]).accepted + store(*mine, name="both").accepted

    stored = at_once([writer(number) for number in range(6)])
    assert sum(stored) == Event.objects.count()
    assert len(partitions.days()) == 12


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_a_day_that_is_being_read_is_not_dropped(at_once: AtOnce, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "100ms")
    store(NOW)
    dropped: list[int | None] = []
    with transaction.atomic():
        assert Event.objects.count() == 1
        at_once([lambda: dropped.append(partitions.drop(NOW.date()))])
    assert dropped == [None]
    assert partitions.drop(NOW.date()) == 1
    assert not Event.objects.exists()


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_the_events_of_a_day_are_counted_before_anybody_has_to_wait_for_its_dropping() -> None:
    store(NOW, NOW - DAY)
    store(NOW + timedelta(hours=1), name="again")
    with CaptureQueriesContext(connection) as queries:
        assert partitions.drop(NOW.date()) == 2
    said = [query["sql"] for query in queries]
    [counted] = [n for n, sql in enumerate(said) if "count(*)" in sql]
    [locked] = [n for n, sql in enumerate(said) if "ACCESS EXCLUSIVE" in sql]
    assert counted < locked


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_who_writes_into_a_day_that_is_being_dropped_waits_and_others_do_not(at_once: AtOnce) -> None:
    old = NOW - 401 * DAY
    store(old, at=old)
    said: list[str] = []

    def write(time: datetime) -> str:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")
                store(time, name="late")
        except OperationalError as error:
            return type(error.__cause__).__name__
        return "stored"

    def both() -> bool:
        said.extend(at_once([lambda: write(old), lambda: write(NOW)]))
        return False

    assert partitions.drop(old.date(), unless=both) == 1
    assert said == ["LockNotAvailable", "stored"]
    assert write(old) == "stored"


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_a_scan_reads_no_day_but_those_of_its_window() -> None:
    """What a transaction read, it holds a lock on until it ends; an index is read by those of its partition."""
    store(*(NOW - n * DAY for n in range(300)), name="history")
    scans.replay(now=NOW)
    store(*(NOW - timedelta(minutes=n) for n in range(30)), name="new")
    with transaction.atomic():
        assert counts.count_some().events == 30
        assert _locked() == {"anomalies_event_20261120"}
    with transaction.atomic():
        scans.run(now=NOW + timedelta(minutes=1), trigger=Scan.Trigger.COMMAND)
        read = {datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC) for name in _locked()}
    assert read
    assert min(read) >= NOW - 100 * DAY


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_logins_and_requests_are_read_from_no_day_but_those_that_may_tell_of_them() -> None:
    days = [NOW - n * DAY for n in range(20)]
    _take([record(day, n, principal_id="ana", action="user.login") for n, day in enumerate(days)])
    _take(life("old", NOW - 15 * DAY, who="ana"))
    with transaction.atomic():
        logins.facts({"ana": NOW - timedelta(hours=2)}, until=NOW + DAY)
        assert _locked() == {f"anomalies_event_202611{day}" for day in (18, 19, 20)}
    with transaction.atomic():
        access_requests.facts(["ana"], since=NOW - timedelta(hours=2), until=NOW + DAY)
        assert _locked() == set()
    with transaction.atomic():
        _take([told("created", NOW, "new", who="ana")])
        assert _locked() == {"anomalies_event_20261120"}
    with transaction.atomic():
        [*_, request] = access_requests.facts(["ana"], since=NOW - timedelta(hours=2), until=NOW + DAY)["ana"].requests
        assert request.active_at == (NOW - DAY).timestamp()
        assert min(_locked()) == "anomalies_event_20261113"
    with transaction.atomic():
        _take([told("revoked", NOW - DAY, "old", who="ana")])
        assert min(_locked()) == "anomalies_event_20261105"


def _take(records: Sequence[EventRecord]) -> None:
    events.store(records, source_name="test", format="native", received_at=NOW)
    counts.count_some()


def _locked() -> set[str]:
    """Partitions that this connection's transaction has planned to read, or read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
            "WHERE l.pid = pg_backend_pid() AND c.relname ~ '^anomalies_event_[0-9]{8}$' "
            "AND l.mode = 'AccessShareLock'"
        )
        return {name for (name,) in cursor.fetchall()}

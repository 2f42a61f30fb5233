"""Races, and a spike that was found."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from pytest_django import DjangoDbBlocker

from anomalies.models import Anomaly, OutboxMessage
from anomalies.services import channels, deliveries, partitions
from anomalies.services.stream import Position
from tests.services.days import MONDAY, SPIKE_SEEN, burst, run, store, usual
from tests.services.servers import until

pytest.register_assert_rewrite("tests.services.backtesting")


@pytest.fixture
def at_once() -> Callable[[Sequence[Callable[[], object]]], list[object]]:
    """Return a function that calls all of these at once, each on a connection of its own."""

    def run(calls: Sequence[Callable[[], object]]) -> list[object]:
        barrier = Barrier(len(calls))

        def alone(call: Callable[[], object]) -> object:
            try:
                barrier.wait(timeout=30)
                return call()
            finally:
                connection.close()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(alone, calls))

    return run


@pytest.fixture
def in_turn() -> Callable[[QuerySet[Any], Sequence[Callable[[], object]]], list[object]]:
    """Return a function that lets calls wait for locked rows, each begun once those before wait, then lets them go.

    Two that lock what they share in different orders end in a deadlock each time, not now and then.
    """

    def run(locked: QuerySet[Any], calls: Sequence[Callable[[], object]]) -> list[object]:
        def alone(call: Callable[[], object]) -> object:
            try:
                return call()
            finally:
                connection.close()

        with ThreadPoolExecutor(len(calls)) as pool:
            begun = []
            with transaction.atomic():
                list(locked.select_for_update())
                for call in calls:
                    begun.append(pool.submit(alone, call))
                    until(lambda: _waiting() == len(begun))
            return [one.result() for one in begun]

    return run


def _waiting() -> int:
    """How many wait for a lock, in this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees what it saw first
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


@pytest.fixture(scope="module")
def whole_file(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A transaction around all tests of a file: what is made in it is there for each of them, as it was made."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def spike(db: None) -> Anomaly:
    """An agent's usual three weeks, then 300 events in five minutes, seen at once."""
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)])
    run(SPIKE_SEEN)
    return Anomaly.objects.get(type="rate_spike")


@pytest.fixture
def no_days(transactional_db: None) -> Iterator[None]:
    """Partitions outlive the rows that tests delete: none are there before, and none are left."""
    _drop_all_days()
    yield
    _drop_all_days()


def _drop_all_days() -> None:
    for day in partitions.days():
        partitions.drop(day)


@pytest.fixture
def at_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test announces be told before it commits, which it never does."""

    def messages_after(position: Position) -> list[OutboxMessage]:
        return list(OutboxMessage.objects.filter(pk__gt=position.number).order_by("id"))

    monkeypatch.setattr(deliveries, "messages_after", messages_after)
    monkeypatch.setattr(channels, "newest_position", _newest)


def _newest() -> Position:
    newest = OutboxMessage.objects.order_by("id").last()
    return Position(0, newest.pk if newest else 0)

"""What is made part by part: connections are given back between two parts, unless they are of one transaction."""

from collections.abc import Generator

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from anomalies.models import Anomaly
from anomalies.services import parts as told_by_parts
from anomalies.services.parts import each_once, one_by_one
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)


def parts() -> Generator[BaseDatabaseWrapper, None, None]:
    for _ in range(2):
        connection = connections["default"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        yield connection


def parts_of_one_transaction() -> Generator[BaseDatabaseWrapper, None, None]:
    with transaction.atomic():
        yield from parts()


def test_what_matched_is_told_once_each_if_it_does_still_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told_by_parts, "ROWS_AT_ONCE", 2)
    several = [make.anomaly(description=f"{number}") for number in range(6)]
    told = each_once(Anomaly.objects.filter(severity=3).only("description", "severity").order_by("-id"))
    read = [next(told).description, next(told).description]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors")
        assert cursor.fetchone() == (0,)  # no statement waits for who reads
    make.anomaly(description="late")
    Anomaly.objects.filter(pk=several[3].pk).update(description="changed meanwhile")
    Anomaly.objects.filter(pk=several[2].pk).update(severity=1)
    several[1].delete()
    assert read + [one.description for one in told] == ["5", "4", "changed meanwhile", "0"]


@async_to_sync
async def held(some: Generator[BaseDatabaseWrapper, None, None]) -> list[bool]:
    """Whether a connection is held while whoever takes the parts looks at each."""
    return [part.connection is not None async for part in one_by_one(some)]


def test_between_two_parts_no_connection_is_held() -> None:
    assert held(parts()) == [False, False]


def test_parts_of_one_transaction_keep_their_connection_to_the_end() -> None:
    assert held(parts_of_one_transaction()) == [True, True]
    assert connections["default"].connection is None


def test_who_leaves_after_a_part_ends_the_others_and_leaves_no_connection() -> None:
    ended = []

    def told() -> Generator[int, None, None]:
        try:
            yield from (1, 2)
        finally:
            ended.append(True)

    @async_to_sync
    async def leave() -> None:
        taken = one_by_one(told())
        assert await anext(taken) == 1
        await taken.aclose()  # type: ignore[attr-defined]  # as the server does

    leave()
    assert ended == [True]

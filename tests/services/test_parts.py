"""What is made part by part: connections are given back between two parts, unless they are of one transaction."""

from collections.abc import Generator

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from anomalies.services.parts import one_by_one

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

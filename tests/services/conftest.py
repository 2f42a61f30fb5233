"""Races."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection


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

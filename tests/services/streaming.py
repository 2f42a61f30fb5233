"""A program that sends events, ticks the clock and decides about anomalies, whatever dies meanwhile.

It stores the batches whose numbers it reads, and writes a line for each promise that it was given.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly
from anomalies.services import events, reviews
from anomalies.services.actor import Actor
from config import celery_app
from tests.services.days import MONDAY, burst, record

BATCHES = 240
ANA = Actor(name="ana")
T = TypeVar("T")


@cache
def all_events() -> list[EventRecord]:
    """Three weeks of four agents, with an incident on each of the last days, by time."""
    usual = [
        record(
            MONDAY + timedelta(minutes=30 * n + number),
            n,
            agent_id=f"ag_{number}",
            principal_id=f"user_{number}",
            ip=f"192.0.2.{number}",
        )
        for number in range(4)
        for n in range(21 * 48)
    ]
    incidents: list[EventRecord] = []
    for day in range(15, 21):
        start = MONDAY + timedelta(days=day, hours=day % 7 + 8)
        agent = {"agent_id": f"ag_{day % 4}", "principal_id": f"user_{day % 4}", "ip": f"192.0.2.{day % 4}"}
        incidents += burst(start, 120, seconds=1.5, status="success" if day % 2 else "failure", **agent)
    return sorted([*usual, *incidents], key=lambda event: (event.time, event.external_id))


def batch(number: int) -> list[EventRecord]:
    every = all_events()
    size = -(-len(every) // BATCHES)
    return every[number * size : (number + 1) * size]


def _insist(what: Callable[[], T]) -> T:
    """Call until the database answers, as a sender of events does."""
    while True:
        try:
            return what()
        except (OperationalError, InterfaceError):
            connection.close()
            time.sleep(0.02)


def _store(number: int) -> None:
    events.store(batch(number), source_name="stream", format="native", received_at=MONDAY)


def _undecided() -> list[Anomaly]:
    return list(Anomaly.objects.needs_review().order_by("id")[:1])


def _decide() -> Iterator[str]:
    for anomaly in _insist(_undecided):

        def acknowledge(anomaly: Anomaly = anomaly) -> None:
            with suppress(reviews.AlreadyDecidedError):  # the answer to the first attempt was lost
                reviews.acknowledge(anomaly, by=ANA, at=MONDAY)

        _insist(acknowledge)
        yield anomaly.public_id


def main() -> None:
    for line in sys.stdin:
        _insist(lambda number=int(line): _store(number))  # type: ignore[misc]
        print("stored", line.strip(), flush=True)  # noqa: T201
        celery_app.send_task("anomalies.tasks.scan")
        for public_id in _decide():
            print("decided", public_id, flush=True)  # noqa: T201

"""Real workers that are killed while they tell a receiver that fails, hangs, resets and drips: nothing is lost.

Time passes between a kill and the next worker, as the rows know it: what is due in an hour is due then.
"""

import random
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from standardwebhooks import Webhook

from anomalies.models import Channel, Delivery, DeliveryAttempt
from tests import make
from tests.notifications.receiver import Answer, Receiver, status
from tests.services.channels import SECRET, channel, say
from tests.services.servers import Worker, is_waited_for, until

ANOMALIES = 3
TYPES = ("anomaly.detected", "anomaly.updated", "anomaly.closed")
KILLS_AT_RANDOM = 2


def _fail(to: BaseHTTPRequestHandler) -> None:
    status(503)(to)


def _reset(to: BaseHTTPRequestHandler) -> None:
    to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    to.close_connection = True
    to.connection.close()


class Desk:
    """Answers on four paths, of which each has its trouble at every third message, and knows whom it answered well."""

    def __init__(self, there: Receiver) -> None:
        self._there = there
        self._turns = threading.Lock()
        self._arrived: Counter[str] = Counter()
        self.troubled = True
        self.hold = threading.Event()  # whether the next message waits for its answer
        self.holding = threading.Event()
        self.answered: list[tuple[str, str]] = []  # path and id
        self.troubles: dict[str, Answer] = {
            "/fails": _fail, "/hangs": self._hang, "/resets": _reset, "/drips": self._drip
        }  # fmt: skip
        there.answer = self._answer

    def _answer(self, to: BaseHTTPRequestHandler) -> None:
        if self.hold.is_set():
            self.holding.set()
            self._hang(to)
            return
        with self._turns:
            self._arrived[to.path] += 1
            in_trouble = self.troubled and self._arrived[to.path] % 3 == 1
        if in_trouble:
            self.troubles[to.path](to)
        else:
            status(200)(to)
        if not in_trouble or to.path == "/drips":
            self.answered.append((to.path, to.headers["webhook-id"]))

    def _hang(self, to: BaseHTTPRequestHandler) -> None:
        self._there.leave.wait(60)

    def _drip(self, to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Length", "3")
        to.end_headers()
        for _ in range(3):
            time.sleep(0.1)
            to.wfile.write(b".")
            to.wfile.flush()


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    worker = Worker(
        threads=2,
        ANOMALIES_ALLOW_HTTP_WEBHOOKS="true",
        ANOMALIES_ALLOW_PRIVATE_WEBHOOKS="127.0.0.0/8",
        ANOMALIES_ENCRYPTION_KEY=settings.ANOMALIES_ENCRYPTION_KEY,
    )
    yield worker
    worker.leave_nothing()


@contextmanager
def _locked(table: str) -> Iterator[None]:
    """Let everybody else who writes to a table, or claims rows of it, wait in the middle."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


def _clock(worker: Worker, condition: Callable[[], object]) -> None:
    """Let the clock tick until it is so."""

    def ticked() -> bool:
        worker.tick("announce")
        worker.tick("deliver")
        time.sleep(0.2)
        return bool(condition())

    until(ticked)


def _killed(worker: Worker) -> None:
    """Kill it, and let an hour pass until the next one starts."""
    worker.end(signal.SIGKILL)
    hour = timedelta(hours=1)
    Delivery.objects.unfinished().update(next_attempt_at=F("next_attempt_at") - hour)
    Channel.objects.update(held_until=F("held_until") - hour)
    worker.start()


def _outcomes() -> str:
    return " ".join(DeliveryAttempt.objects.values_list("words", flat=True))


@pytest.mark.once
@pytest.mark.alone
@pytest.mark.usefixtures("calls_stay_here")
def test_each_message_arrives_in_order_and_none_is_lost_whatever_dies(worker: Worker, there: Receiver) -> None:
    desk = Desk(there)
    for path in desk.troubles:
        channel(there.url.replace("/hook", path), name=path, timeout_seconds=1)
    anomalies = [make.anomaly() for _ in range(ANOMALIES)]
    for type_ in TYPES:
        for anomaly in anomalies:
            say(anomaly, type_)
    expected = len(desk.troubles) * len(TYPES) * ANOMALIES

    worker.start()
    with _locked("anomalies_delivery"):  # while it notes whom to tell
        _clock(worker, lambda: is_waited_for("anomalies_delivery"))
        worker.end(signal.SIGKILL)
    assert not Delivery.objects.exists()
    assert there.received == []

    worker.start()
    troubles = ("answered 503", "no answer within 1 s", "could not be reached")
    _clock(worker, lambda: all(words in _outcomes() for words in troubles))
    _killed(worker)
    assert Delivery.objects.count() == expected

    with _locked("anomalies_delivery"):  # while it claims one
        _clock(worker, lambda: is_waited_for("anomalies_delivery"))
        worker.end(signal.SIGKILL)
    _killed(worker)

    desk.hold.set()  # while it sends
    _clock(worker, desk.holding.is_set)
    worker.end(signal.SIGKILL)
    desk.hold.clear()
    _killed(worker)

    desk.troubled, before = False, len(desk.answered)
    with _locked("anomalies_deliveryattempt"):  # after it was answered, before it is noted
        _clock(worker, lambda: len(desk.answered) > before and is_waited_for("anomalies_deliveryattempt"))
        worker.end(signal.SIGKILL)
    _killed(worker)

    desk.troubled = True
    rng = random.Random(KILLS_AT_RANDOM)
    for _ in range(KILLS_AT_RANDOM):
        arrived = len(there.received)
        _clock(worker, lambda arrived=arrived: len(there.received) > arrived)
        time.sleep(rng.random() / 2)
        _killed(worker)

    desk.troubled = False
    _clock(worker, lambda: not Delivery.objects.unfinished().exists())

    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}
    assert Delivery.objects.count() == expected
    every = Delivery.objects.values_list("channel__name", "public_id")
    assert set(desk.answered) == set(every)
    twice = [one for one, times in Counter(desk.answered).items() if times > 1]
    assert 1 <= len(twice) <= 2 * (4 + KILLS_AT_RANDOM)  # two threads, each with one message when it was killed
    for received in there.received:
        Webhook(SECRET).verify(received.body, received.headers)
    for path in desk.troubles:
        for anomaly in anomalies:
            told = [one.json for one in there.received if one.path == path]
            types = [TYPES.index(one["type"]) for one in told if one["data"]["id"] == anomaly.public_id]
            assert types == sorted(types)
            assert set(types) == set(range(len(TYPES)))


@pytest.mark.once
@pytest.mark.alone
@pytest.mark.usefixtures("calls_stay_here")
def test_each_anomaly_of_a_digest_arrives_and_none_is_lost_whatever_dies(worker: Worker, there: Receiver) -> None:
    desk = Desk(there)
    desk.troubled = False
    lately = timezone.now() - timedelta(minutes=30)  # what waits for an hour by then is due, what comes now tomorrow
    channel(there.url, pace="daily", digest_at=f"{lately:%H:%M}")
    anomalies = [make.anomaly() for _ in range(ANOMALIES)]
    for type_ in TYPES:
        for anomaly in anomalies:
            say(anomaly, type_)

    worker.start()
    _clock(worker, lambda: Delivery.objects.count() == len(TYPES) * ANOMALIES)
    _killed(worker)  # an hour later what waits is due together
    with _locked("anomalies_delivery"):  # while it gathers them
        _clock(worker, lambda: is_waited_for("anomalies_delivery"))
        worker.end(signal.SIGKILL)
    assert there.received == []

    desk.hold.set()  # while it sends them
    worker.start()
    _clock(worker, desk.holding.is_set)
    say(anomalies[0], "anomaly.acknowledged")
    worker.end(signal.SIGKILL)
    desk.hold.clear()
    _killed(worker)

    with _locked("anomalies_deliveryattempt"):  # after they were answered, before it is noted
        _clock(worker, lambda: desk.answered and is_waited_for("anomalies_deliveryattempt"))
        worker.end(signal.SIGKILL)
    assert set(Delivery.objects.values_list("status", flat=True)) <= {"pending", "failed"}
    _killed(worker)

    # What came meanwhile may have been announced before a kill or after all of them, and so be due by now or not.
    _clock(worker, lambda: Delivery.objects.filter(status="delivered").count() >= len(TYPES) * ANOMALIES)
    _clock(worker, lambda: Delivery.objects.count() == len(TYPES) * ANOMALIES + 1)
    _killed(worker)
    _clock(worker, lambda: not Delivery.objects.unfinished().exists())

    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}
    every = [one.json["data"] for one in there.received]
    first = [told for told in every if told["id"] == every[0]["id"]]
    (second,) = [told for told in every if told not in first]
    assert len(first) == 3  # held, answered and not noted, and answered
    for told in first:
        assert {one["id"]: one["told"] for one in told["anomalies"]} == {
            anomaly.public_id: ["detected", "updated", "closed"] for anomaly in anomalies
        }
    assert [(one["id"], one["told"]) for one in second["anomalies"]] == [(anomalies[0].public_id, ["acknowledged"])]

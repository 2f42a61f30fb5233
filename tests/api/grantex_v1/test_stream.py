"""api/grantex_v1/stream over real sockets: what comes, in which form, and how many may listen."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from django.db import connection
from django.utils import timezone
from psycopg_pool import ConnectionPool

from anomalies.api.grantex_v1 import stream
from anomalies.models import Anomaly, ApiKey, OutboxMessage, StreamLease
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import error

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.alone]

Listen = Callable[..., httpx.Response]


@pytest.fixture
def key(transactional_db: None) -> str:
    return make.api_key()


@pytest.fixture
def listen(server: str, key: str) -> Iterator[Listen]:
    """Return a function that opens a stream: `listen("?types=...", last_event_id="evt_...")`."""
    with ExitStack() as open_streams, httpx.Client(timeout=30) as client:

        def opened(query: str = "", **headers: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {key}", **{k.replace("_", "-"): v for k, v in headers.items()}}
            url = f"{server}/v1/events/stream{query}"
            return open_streams.enter_context(client.stream("GET", url, headers=headers))

        yield opened


def _acknowledged() -> Anomaly:
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=Actor(name="ana"), at=timezone.now())
    return anomaly


def _next_event(lines: Iterator[str]) -> dict[str, Any]:
    for line in lines:
        if line.startswith("data: "):
            return dict(json.loads(line.removeprefix("data: ")))
    raise AssertionError("the stream ended")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline


def test_an_event_is_one_line_of_data_as_documented(listen: Listen) -> None:
    answer = listen()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-request-id"]
    anomaly = _acknowledged()
    lines = answer.iter_lines()
    told = []
    for line in lines:
        told.append(line)
        if line.startswith("data: "):
            told.append(next(lines))
            break
    message = OutboxMessage.objects.get()
    event = json.loads(told[3].removeprefix("data: "))
    assert told == [": connected", "", f"id: {event['id']}", told[3], ""]
    assert list(event) == ["id", "type", "createdAt", "data", "payload"]
    assert event["id"] == f"evt_{message.transaction}_{message.pk}"
    assert event["type"] == "anomaly.acknowledged"
    assert event["createdAt"].endswith("Z")
    assert event["data"] == event["payload"]
    assert (event["data"]["id"], event["data"]["agentId"]) == (anomaly.public_id, "ag_billing")
    assert event["data"]["metadata"]["status"] == "acknowledged"


def test_it_starts_now_and_keeps_the_order(listen: Listen) -> None:
    _acknowledged()
    _until(OutboxMessage.objects.settled().exists)
    lines = listen().iter_lines()
    anomalies = [_acknowledged() for _ in range(5)]
    assert [_next_event(lines)["data"]["id"] for _ in anomalies] == [each.public_id for each in anomalies]


def test_last_event_id_goes_on_where_the_stream_broke_off(listen: Listen) -> None:
    first = listen()
    anomalies = [_acknowledged() for _ in range(3)]
    seen = _next_event(first.iter_lines())
    lines = listen(last_event_id=seen["id"]).iter_lines()
    assert [_next_event(lines)["data"]["id"] for _ in range(2)] == [each.public_id for each in anomalies[1:]]


@pytest.mark.parametrize("last_id", ["evt_", "evt_1", "anom_1", "evt_1_x", "evt_" + "9" * 40 + "_1", "evt_-1_2"])
def test_a_last_event_id_of_another_kind_is_400(listen: Listen, last_id: str) -> None:
    answer = listen(last_event_id=last_id)
    assert (answer.status_code, json.loads(answer.read())["code"]) == (400, "BAD_REQUEST")
    assert not StreamLease.objects.exists()


def test_types_filters(listen: Listen) -> None:
    lines = listen("?types=anomaly.reopened,anomaly.closed").iter_lines()
    anomaly = make.anomaly()
    entry = reviews.acknowledge(anomaly, by=Actor(name="ana"), at=timezone.now())
    reviews.undo(entry, by=Actor(name="ana"), at=timezone.now())
    assert _next_event(lines)["type"] == "anomaly.reopened"


def test_a_client_that_takes_gzip_gets_each_event_at_once(listen: Listen) -> None:
    answer = listen(accept_encoding="gzip")
    lines = answer.iter_lines()
    for _ in range(2):
        anomaly = _acknowledged()
        assert _next_event(lines)["data"]["id"] == anomaly.public_id


def test_a_quiet_stream_is_kept_alive(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEEP_ALIVE_SECONDS", 0.0)
    lines = listen().iter_lines()
    assert [next(lines) for _ in range(4)] == [": connected", "", ": keep-alive", ""]


def test_a_sixth_stream_of_a_key_is_429_until_one_closes(server: str, listen: Listen, key: str) -> None:
    for _ in range(4):
        listen()
    with httpx.stream("GET", f"{server}/v1/events/stream", headers={"authorization": f"Bearer {key}"}) as fifth:
        assert fifth.status_code == 200
        sixth = listen()
        assert sixth.status_code == 429
        assert sixth.headers["retry-after"] == "30"
        assert json.loads(sixth.read())["code"] == "RATE_LIMIT_EXCEEDED"
        other = make.api_key("read", name="other")
        assert listen(authorization=f"Bearer {other}").status_code == 200
    _until(lambda: StreamLease.objects.filter(api_key__name="ci").count() == 4)
    assert listen().status_code == 200


def test_revoking_the_key_ends_its_stream(listen: Listen) -> None:
    lines = listen().iter_lines()
    next(lines)
    ApiKey.objects.update(revoked_at=timezone.now())
    assert list(lines) == [""]
    _until(lambda: not StreamLease.objects.exists())


def test_idle_streams_hold_no_connection_to_the_database(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 3600.0)
    for _ in range(5):
        next(listen().iter_lines())
    pool = connection.pool
    assert pool is not None
    # One is this test's own.
    _until(lambda: pool.get_stats()["pool_size"] - pool.get_stats()["pool_available"] == 1)


def test_without_asgi_the_stream_says_so_and_does_not_block(call: Call) -> None:
    assert "ASGI" in error(call("GET", "/v1/events/stream"), 501, "NOT_IMPLEMENTED")


def _decided_by_four_at_once(each: int) -> None:
    """Announce as many as each of four people decides, in transactions that overlap."""

    def decide() -> None:
        try:
            for _ in range(each):
                _acknowledged()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as people:
        for done in [people.submit(decide) for _ in range(4)]:
            done.result()


async def _heard(client: httpx.AsyncClient, url: str, plain: str, number: int, ready: asyncio.Barrier) -> list[str]:
    """The ids of the first events that come to one listener."""
    ids: list[str] = []
    async with client.stream("GET", url, headers={"authorization": f"Bearer {plain}"}) as answer:
        assert answer.status_code == 200
        await ready.wait()
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                ids.append(line.removeprefix("id: "))
            if len(ids) == number:
                return ids
    raise AssertionError("the stream ended")


async def _all_heard(url: str, keys: list[str], *, each: int) -> list[list[str]]:
    ready = asyncio.Barrier(len(keys) + 1)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, asyncio.TaskGroup() as listeners:
        heard = [listeners.create_task(_heard(client, url, plain, 4 * each, ready)) for plain in keys]
        await ready.wait()
        await asyncio.to_thread(_decided_by_four_at_once, each)
    return [await one for one in heard]


@pytest.fixture
def narrow_pool() -> Iterator[ConnectionPool[Any]]:
    """A pool of eight connections, of which the four who decide and the test take five."""
    pool = connection.pool
    assert pool is not None
    before = pool.min_size, pool.max_size
    pool.resize(1, 8)
    yield pool
    pool.resize(*before)


def test_fifty_listeners_of_ten_keys_each_hear_each_event_once_and_in_order(
    server: str, narrow_pool: ConnectionPool[Any]
) -> None:
    keys = [make.api_key("read", name=f"listener {number}") for number in range(10)]
    heard = asyncio.run(_all_heard(f"{server}/v1/events/stream", keys * 5, each=10))
    _until(lambda: OutboxMessage.objects.settled().count() == 40)
    told = [f"evt_{message.transaction}_{message.pk}" for message in OutboxMessage.objects.settled()]
    assert len(heard) == 50
    assert all(ids == told for ids in heard)
    assert narrow_pool.get_stats().get("requests_errors", 0) == 0


def test_a_listener_that_does_not_read_holds_up_nobody(listen: Listen, server: str) -> None:
    listen()  # and reads nothing of it
    anomaly = make.anomaly(evidence={**make.EVIDENCE, "why": "x" * 500_000})
    lines = listen().iter_lines()
    by, at = Actor(name="ana"), timezone.now()
    for _ in range(20):  # 40 MB, more than what is sent on its way can take
        reviews.undo(reviews.acknowledge(anomaly, by=by, at=at), by=by, at=at)
    for _ in range(20):
        assert [_next_event(lines)["type"] for _ in range(2)] == ["anomaly.acknowledged", "anomaly.reopened"]
    assert httpx.get(f"{server}/v1/anomalies").status_code == 401  # the server answers others, too

"""How fast events are stored, beside the least that could store them: msgspec and one COPY, nothing checked or counted.

The bare reference copies into a table with the columns, checks and indexes of the event table, but not partitioned.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from anomalies.models import ApiKey, Batch
from anomalies.services import api_keys

ROUNDS = 5  # of which the median counts
_COLUMNS = (
    "external_id", "time", "agent_id", "principal_id", "action", "status", "grant_id", "request_id", "resource",
    "resource_type", "integration", "permission", "ip", "country", "city", "latitude", "longitude", "user_agent",
)  # fmt: skip
_COPY = f"COPY bare_event (source_id, batch_id, {', '.join(_COLUMNS)}, metadata) FROM STDIN"
_numbers = itertools.count()


class Rates(NamedTuple):
    """Events a second, ours and the bare reference's, each the median of the rounds."""

    ours: float
    bare: float

    @property
    def ratio(self) -> float:
        return self.ours / self.bare


class _Bare(msgspec.Struct):
    id: str
    time: str
    agent_id: str
    principal_id: str
    action: str
    status: str
    grant_id: str = ""
    request_id: str = ""
    resource: str = ""
    resource_type: str = ""
    integration: str = ""
    permission: str = ""
    ip: str | None = None
    country: str = ""
    city: str = ""
    latitude: float | None = None
    longitude: float | None = None
    user_agent: str = ""
    metadata: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(_Bare)


def http(*, events_a_call: int = 1000, calls: int = 10, agents: int = 200) -> Rates:
    """Return the rates of POST /v1/events, through all of Django, and of a bare view, called at once."""
    _, key = api_keys.create(name=f"benchmark {time.time_ns()}", scopes=[ApiKey.Scope.INGEST])
    client = Client(headers={"authorization": f"Bearer {key}", "host": "localhost"})
    factory = RequestFactory()

    def ours(body: bytes) -> None:
        answer = client.post("/v1/events?source=benchmark", body, content_type="application/x-ndjson")
        assert answer.json()["accepted"] == events_a_call, answer.content[:200]

    def bare(body: bytes) -> None:
        assert _bare_view(factory.post("/", body, content_type="application/x-ndjson")).status_code == 200

    def rate(store: Callable[[bytes], None]) -> float:
        bodies = [_ndjson(events_a_call, agents) for _ in range(calls)]
        return events_a_call * calls / _seconds(lambda: [store(body) for body in bodies])

    return _compared(lambda: rate(ours), lambda: rate(bare))


def file(*, events: int = 100_000, agents: int = 200) -> Rates:
    """Return the rates of `manage.py ingest` of an NDJSON file, and of one COPY of rows that were read before."""

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "events.ndjson"
            path.write_bytes(_ndjson(events, agents))
            out = StringIO()
            seconds = _seconds(lambda: call_command("ingest", str(path), "--source=benchmark", stdout=out))
        assert f"{events:,} accepted" in out.getvalue(), out.getvalue()
        return events / seconds

    def bare() -> float:
        rows = "".join(_row(event) for event in _records(_ndjson(events, agents))).encode()

        def copy() -> None:
            with transaction.atomic(), connection.cursor() as cursor, cursor.copy(_COPY) as to:
                to.write(rows)

        return events / _seconds(copy)

    return _compared(ours, bare)


def _compared(ours: Callable[[], float], bare: Callable[[], float]) -> Rates:
    """Take turns, so that what else the machine does meets both; the first turn of each warms up."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare_event (LIKE anomalies_event INCLUDING ALL)")
    try:
        turns = [(ours(), bare()) for _ in range(ROUNDS + 1)][1:]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE bare_event")
        Batch.objects.filter(source__name="benchmark").update(counted_at=datetime.now(UTC))
    mine, theirs = zip(*turns, strict=True)
    return Rates(float(np.median(mine)), float(np.median(theirs)))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _bare_view(request: HttpRequest) -> HttpResponse:
    stored = 0
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for event in _records(request.body):
            copy.write(_row(event))
            stored += 1
    return HttpResponse(msgspec.json.encode({"accepted": stored}))


def _records(body: bytes) -> Iterator[_Bare]:
    return map(_decoder.decode, body.splitlines())


def _row(event: _Bare) -> str:
    """A row as COPY takes it. Nothing is escaped: the benchmark's own events need none."""
    ip, latitude, longitude = (r"\N" if v is None else v for v in (event.ip, event.latitude, event.longitude))
    metadata = msgspec.json.encode(event.metadata).decode()
    return (
        f"1\t1\t{event.id}\t{event.time}\t{event.agent_id}\t{event.principal_id}\t{event.action}\t{event.status}\t"
        f"{event.grant_id}\t{event.request_id}\t{event.resource}\t{event.resource_type}\t{event.integration}\t"
        f"{event.permission}\t{ip}\t{event.country}\t{event.city}\t{latitude}\t{longitude}\t{event.user_agent}\t"
        f"{metadata}\n"
    )


def _ndjson(count: int, agents: int) -> bytes:
    """Events of the last hour that were never sent before, as most senders send them."""
    now = datetime.now(UTC)
    encoder = msgspec.json.Encoder()
    lines = []
    for n in range(count):
        number = next(_numbers)
        agent = number * 7919 % agents
        event = {
            "id": f"bench-{now.timestamp():.6f}-{number}",
            "time": (now - timedelta(seconds=3600 * (count - n) / count)).isoformat(),
            "agent_id": f"ag_benchmark_{agent}",
            "principal_id": f"user_{number % 500}",
            "action": ("token.issue", "document.read", "mail.send")[number % 3],
            "status": "failure" if number % 20 == 0 else "success",
            "resource": f"projects/{number % 50}/documents/{number % 1000}",
            "resource_type": "document",
            "integration": "drive",
            "permission": "drive.read",
            "ip": f"198.51.{number % 4}.{number % 200}",
            "country": "DE",
            "user_agent": "grantex-python/0.7",
            "metadata": {"region": "eu-1"},
        }
        lines.append(encoder.encode(event))
    return b"\n".join(lines)

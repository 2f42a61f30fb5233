"""A machine with a key, and the running server it calls."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import httpx
import pytest
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.test import Client
from granian.constants import Interfaces
from granian.server.embed import Server

from anomalies.api.grantex_v1 import stream
from anomalies.models import StreamLease
from tests import make
from tests.services.conftest import at_its_own_time  # noqa: F401  a fixture

Call = Callable[..., Any]


@pytest.fixture
def key(db: None) -> str:
    return make.api_key()


@pytest.fixture
def call(key: str) -> Call:
    """Return a function that makes one call: `call("POST", "/v1/agents", {...})`; bytes are sent as they are."""
    client = Client(raise_request_exception=False)

    def request(method: str, path: str, body: object = b"", *, key: str | None = key, **headers: str) -> Any:
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer: Any = client.generic(method, path, content, content_type="application/json", headers=headers)
        return _whole(answer) if answer.streaming and answer["Content-Type"] == "application/json" else answer

    return request


def _whole(answer: Any) -> Any:
    """JSON that is sent in parts, read to its end; files are left to who reads them."""
    whole: Any = HttpResponse(answer.getvalue(), status=answer.status_code, headers=answer.headers)
    whole.json = lambda: json.loads(whole.content)
    return whole


@pytest.fixture
def server(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a running server, the one of production, on the test database; its streams poll fast."""
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(stream, "RENEW_SECONDS", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    loop = asyncio.new_event_loop()
    granian = Server(get_asgi_application(), port=port, interface=Interfaces.ASGINL, log_enabled=False)
    endless: list[object] = []
    thread = Thread(target=_serve, args=(loop, granian, endless))
    thread.start()
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx.get(f"{address}/v1/anomalies")
            break
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
    yield address
    StreamLease.objects.all().delete()  # ends the streams, for which the server would wait
    loop.call_soon_threadsafe(granian.stop)
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert endless == []


def _serve(loop: asyncio.AbstractEventLoop, granian: Server, endless: list[object]) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(granian.serve())
    # The server waits for none of them. What never ends keeps its thread, and maybe a connection of the pool.
    if answering := asyncio.all_tasks(loop):
        endless.extend(loop.run_until_complete(asyncio.wait(answering, timeout=20))[1])
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

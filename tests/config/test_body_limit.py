import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from config.body_limit import BodyLimit, Message, Receive, Send


async def _count(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Answers 200 with the length of the body; says nothing to a sender that has gone."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def _call(*parts: bytes, announced: int | None = None) -> list[Message]:
    waiting = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    asyncio.run(BodyLimit(_count, most=10)({"type": "http", "headers": headers}, receive, send))
    return sent


@pytest.mark.parametrize("announced", [10, None])
def test_a_body_up_to_the_limit_passes(announced: int | None) -> None:
    start, body = _call(b"12345", b"67890", announced=announced)
    assert (start["status"], body["body"]) == (200, b"10")


def test_a_body_that_announces_more_is_refused_unread() -> None:
    start, body = _call(announced=11)  # reading would fail: nothing waits
    assert start["status"] == 413
    assert "10 bytes" in json.loads(body["body"])["message"]


def test_a_body_that_is_more_than_announced_is_refused_once() -> None:
    start, body = _call(b"12345", b"67890", b"1")
    assert start["status"] == 413
    assert "10 bytes" in json.loads(body["body"])["message"]

"""The event stream: what happens to anomalies, as it happens."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from ninja import Router
from ninja.errors import HttpError

from anomalies.api.auth import ApiKeyAuth, key_of
from anomalies.api.errors import Error, error_answer
from anomalies.api.grantex_v1.anomalies import to_wire
from anomalies.models import ApiKey, OutboxMessage, StreamLease
from anomalies.services import stream
from anomalies.services.audit import wire_time

POLL_SECONDS = 1.0
RENEW_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 30.0

router = Router(tags=["Events"], by_alias=True)


_FRAMES = {
    "responses": {
        200: {
            "description": "One line `data: {id, type, createdAt, data, payload}` an event, the last two the same.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": ": connected\n\n"}},
        }
    }
}


@router.get(
    "/events/stream",
    auth=ApiKeyAuth(ApiKey.Scope.READ),
    response={200: None, (400, 429, 501): Error},
    openapi_extra=_FRAMES,
)
def listen(request: HttpRequest, types: str = "") -> HttpResponseBase:
    """Stream events as `text/event-stream`, from now on or after the id in `Last-Event-ID`.

    `types` is a list such as `anomaly.detected,anomaly.acknowledged`; without it all come.
    """
    if not isinstance(request, ASGIRequest):
        raise HttpError(501, "The event stream needs an ASGI server; this one would block for ever.")
    try:
        last_id = request.headers.get("Last-Event-ID", "")
        position = stream.position_of(last_id) if last_id else stream.newest_position()
        lease = stream.open_stream(key_of(request), at=timezone.now())
    except stream.UnknownPositionError as error:
        raise HttpError(400, str(error)) from None
    except stream.TooManyStreamsError as error:
        answer = error_answer(429, str(error))
        answer["Retry-After"] = str(error.retry_after_seconds)
        return answer
    wanted = frozenset(filter(None, (type_.strip() for type_ in types.split(","))))
    return StreamingHttpResponse(
        _frames(lease, position, wanted),
        content_type="text/event-stream",
        headers={
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
            # GZipMiddleware would send each frame as a gzip file of its own, of which clients read the first alone.
            "Content-Encoding": "identity",
        },
    )


async def _frames(lease: StreamLease, position: stream.Position, wanted: frozenset[str]) -> AsyncIterator[bytes]:
    """Yield frames until the client goes or the key does; between two polls no connection to the database is held."""
    renewed = sent = time.monotonic()
    try:
        yield b": connected\n\n"
        while True:
            now = time.monotonic()
            renewing = now - renewed >= RENEW_SECONDS
            messages = await sync_to_async(_poll)(lease, position, renewing)
            if messages is None:
                return
            renewed = now if renewing else renewed
            for message in messages:
                position = stream.Position.of(message)
                if not wanted or message.type in wanted:
                    yield _frame(message)
                    sent = now
            if now - sent >= KEEP_ALIVE_SECONDS:
                yield b": keep-alive\n\n"
                sent = now
            if not messages:
                await asyncio.sleep(POLL_SECONDS)
    finally:
        await sync_to_async(_close)(lease)


def _poll(lease: StreamLease, position: stream.Position, renewing: bool) -> list[OutboxMessage] | None:
    """The next messages, or None when the stream must end."""
    try:
        if renewing and not stream.renew(lease, at=timezone.now()):
            return None
        return stream.messages_after(position)
    finally:
        close_old_connections()


def _close(lease: StreamLease) -> None:
    try:
        stream.close_stream(lease)
    finally:
        close_old_connections()


def _frame(message: OutboxMessage) -> bytes:
    """One event: the id for `Last-Event-ID`, and all of it as JSON on one line."""
    event_id = str(stream.Position.of(message))
    told = to_wire(message.payload)
    line = msgspec.json.encode(
        {
            "id": event_id,
            "type": message.type,
            "createdAt": wire_time(message.created_at),
            "data": told,
            "payload": told,
        }
    )
    return b"id: " + event_id.encode() + b"\ndata: " + line + b"\n\n"

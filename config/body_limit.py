"""Refuse a body over the limit before it is read: Django's ASGI handler keeps all of it before a view is asked."""

import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class BodyLimit:
    """An ASGI application with a limit in bytes on each body.

    A request that announces more is answered 413 unread. One that sends more than it announced is answered 413 as soon
    as it has, and to the application it looks as if the sender had gone.
    """

    def __init__(self, app: App, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        announced = dict(scope.get("headers", ())).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._most:
            await self._refuse(send)
            return
        received = 0
        refused = False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most and not refused:
                refused = True
                await self._refuse(send)
            return {"type": "http.disconnect"} if refused else message

        async def unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, counted, unless_refused)

    async def _refuse(self, send: Send) -> None:
        request_id = str(uuid.uuid4())
        answer = {
            "message": f"The body is larger than the {self._most:,} bytes that are read: send it in parts.",
            "code": "PAYLOAD_TOO_LARGE",
            "requestId": request_id,
        }
        headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

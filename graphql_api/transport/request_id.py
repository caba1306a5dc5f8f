"""The id of each HTTP request and WebSocket: from `X-Request-ID`, or a new one."""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

_HEADER = b"x-request-id"
_VALID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")  # no characters that could forge a log line
_RESPONSES = {"http.response.start", "websocket.accept", "websocket.http.response.start"}


class RequestIdMiddleware:
    """Adds the id to the logs and messages of a request, and to the response's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given: bytes = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        request_id = given if _VALID.fullmatch(given) else uuid4().hex.encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] in _RESPONSES:
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id)]
            await send(message)

        # Never unbound: `server.py` gives each request and WebSocket its own context.
        bind_contextvars(request_id=request_id.decode())
        await self._app(scope, receive, send_with_id)

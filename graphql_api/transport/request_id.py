"""Gives each request and each socket an id: that of its sender, or one of ours."""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

_HEADER = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,64}")  # nothing that could forge a line of a log
_ANSWERS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}


class RequestId:
    """Binds the id for what is logged and sent meanwhile, and answers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given: bytes = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        request_id = given if _WELL_FORMED.fullmatch(given) else uuid4().hex.encode()

        async def send_named(message: Message) -> None:
            if message["type"] in _ANSWERS:
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id)]
            await send(message)

        # Not taken back: each request and each socket has a context of its own (`server.py`).
        bind_contextvars(request_id=request_id.decode())
        await self._app(scope, receive, send_named)

"""GraphQL at one URL: one answer over HTTP, many as a stream, both over WebSocket.

It is Strawberry's own view with what it gets wrong put right; each method says what that is. Its
version is pinned, because not all that is overridden is public.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing, suppress
from datetime import timedelta
from json import JSONDecodeError
from typing import Any

from cross_web import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.exceptions import ConnectionRejectionError
from strawberry.schema.base import BaseSchema
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)
from structlog.contextvars import bind_contextvars

from celeryql.submission.accept import ANSWER_TIMEOUT_S
from graphql_api.api_errors import ApiError, Code, mask
from graphql_api.auth.authenticator import Unauthenticated, Viewer
from graphql_api.auth.trusted_hosts import is_trusted_host
from graphql_api.context import Context, Services
from graphql_api.pages import graphiql
from graphql_api.transport.answers import Answers
from graphql_api.transport.connection_limits import Sockets, TooManySockets
from graphql_api.transport.negotiation import JSON, negotiate
from graphql_api.transport.request_body import decode_json
from graphql_api.transport.websocket import Connection, SocketAdapter, SocketHandler

_CODES = {
    401: Code.UNAUTHENTICATED,
    403: Code.FORBIDDEN,
    429: Code.UNAVAILABLE,
    500: Code.INTERNAL,
}
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    405: {"Allow": "GET, POST"},
    429: {"Retry-After": "5"},
}


class Router(Answers):
    """Serves one schema, with one engine, to whom the authenticator knows."""

    websocket_adapter_class = SocketAdapter
    graphql_transport_ws_handler_class = SocketHandler

    def __init__(self, schema: BaseSchema, services: Services) -> None:
        settings = services.engine.settings
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=[
                GRAPHQL_TRANSPORT_WS_PROTOCOL,
                GRAPHQL_SSE_PROTOCOL,
                MULTIPART_SUBSCRIPTION_PROTOCOL,
            ],
            connection_init_wait_timeout=timedelta(seconds=settings.connection_init_timeout_s),
            max_subscriptions_per_connection=None,  # the socket's handler says it with a code
            allowed_origins=settings.cors_origins,
        )
        self.engine = services.engine
        self._services = services
        self.finishing: set[asyncio.Task[None]] = set()  # mutations whose clients have left
        self._sockets = Sockets(settings)
        services.metrics.open_sockets.set_function(lambda: self._sockets.total)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a socket; what goes wrong is an answer, too."""
        if scope["type"] == "websocket":
            await self._serve(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        request.state.wanted = negotiate(request.headers.get("accept"))
        response = await self._respond(request)
        with suppress(ClientDisconnect):  # who does not read is let go
            if isinstance(response, StreamingResponse):
                await self._stream_out(response, request, send)
            else:
                await self._in_time(response(scope, receive, send))

    async def _stream_out(self, response: StreamingResponse, request: Request, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            await self._in_time(send(message))

        stream: Any = response.body_iterator
        async with aclosing(stream):  # wherever it is broken off
            try:
                with self._sockets.opened(_address(request)):
                    await response(request.scope, request.receive, send_in_time)
            except TooManySockets as error:
                refused = _refusal(429, str(error), request)
                await refused(request.scope, request.receive, send_in_time)

    async def _in_time(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self.engine.settings.send_timeout_s) as timeout:
                await sending
        except TimeoutError as error:
            raise (ClientDisconnect() if timeout.expired() else error) from error

    async def finish(self) -> None:
        """Wait for mutations whose clients have left; each has its time."""
        if self.finishing:
            await asyncio.wait(self.finishing, timeout=2 * ANSWER_TIMEOUT_S)

    async def _respond(self, request: Request) -> Response:
        try:
            self._refuse_strange_host(request)
            if (
                request.state.wanted.page
                and request.method == "GET"
                and "query" not in request.query_params
            ):
                return graphiql.page(self.engine.settings.graphiql_dir)
            return await self.answer(request, await self._authenticated(request))
        except HTTPException as refusal:
            return _refusal(refusal.status_code, refusal.reason, request)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except Exception as error:  # noqa: BLE001  # it is logged
            return _refusal(500, mask(error), request)

    async def _serve(self, socket: WebSocket) -> None:
        try:
            self._refuse_strange_host(socket)
            with self._sockets.opened(_address(socket)):
                await self.run(socket)
        except HTTPException:
            await self.reject_websocket(socket)
        except TooManySockets as error:
            await socket.send_denial_response(_refusal(429, str(error)))

    def _refuse_strange_host(self, connection: HTTPConnection) -> None:
        host = connection.headers.get("host", "")
        trusted = self.engine.settings.allowed_hosts
        if not self._services.authenticator.is_on and not is_trusted_host(host, trusted):
            raise HTTPException(403, f"This API is not reached as {host!r}: see ALLOWED_HOSTS")

    def new_context(self, viewer: Viewer) -> Context:
        """Make what one operation of a viewer has."""
        bind_contextvars(owner=viewer.subject)  # for what is logged and sent from here on
        return Context(self._services, viewer)

    async def get_context(self, request: Any, response: Any) -> Any:  # noqa: ARG002  # its signature
        """Give what a socket begins with; it says later who it is."""
        return Connection(request)

    async def _authenticated(self, request: Request) -> Context:
        try:
            viewer = await self._services.authenticator.viewer(request.headers.get("authorization"))
        except Unauthenticated as error:
            raise HTTPException(401, str(error)) from error
        request.state.expires_at = viewer.expires_at
        return self.new_context(viewer)

    async def on_ws_connect(self, context: Connection) -> Any:
        """Authenticate a socket, by what it is opened with or by its first message."""
        given, context.connection_params = context.connection_params or {}, None  # not to be kept
        named = given.get("Authorization") or given.get("authorization")
        try:
            context.viewer = await self._services.authenticator.viewer(
                named if isinstance(named, str) else context.socket.headers.get("authorization")
            )
        except Unauthenticated as error:
            raise ConnectionRejectionError from error
        return await super().on_ws_connect(context)

    def decode_json(self, data: str | bytes) -> object:
        """Decode what is sent over a socket strictly, and fail in one way."""
        if len(data) > self.engine.settings.max_body_bytes:
            raise JSONDecodeError("This is too long", "", 0)
        return decode_json(data)


def _refusal(status: int, reason: str, request: Request | None = None) -> Response:
    error = ApiError(reason, _CODES.get(status, Code.BAD_USER_INPUT))
    media_type = (request and request.state.wanted.single) or JSON
    return JSONResponse(
        {"errors": [error.formatted]}, status, _HEADERS.get(status), f"{media_type}; charset=utf-8"
    )


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""

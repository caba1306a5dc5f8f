"""GraphQL at one URL: one answer over HTTP, many as a stream, both over WebSocket.

It is Strawberry's own view with what it gets wrong put right; each method says what that is. Its
version is pinned, because not all that is overridden is public.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import timedelta
from json import JSONDecodeError
from typing import Any
from uuid import uuid4

from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData, process_result
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from graphql_api import graphiql
from graphql_api.auth import Authenticator, Unauthenticated, Viewer
from graphql_api.codes import ApiError, Code
from graphql_api.context import Context
from graphql_api.limits import Sockets, TooManySockets, bounded, is_trusted_host
from graphql_api.negotiation import JSON, RESPONSE, Wanted, negotiate
from graphql_api.parsing import decode_json, parse_request, read_parameters
from graphql_api.schema import Api
from graphql_api.sockets import Connection, SocketAdapter, SocketHandler
from graphql_api.streams import Multipart, ServerSentEvents, until
from tasks.engine.engine import Engine

logger = logging.getLogger(__name__)

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
_STREAMS = "over WebSocket (graphql-transport-ws), or with `Accept: text/event-stream`"


class Router(GraphQL[Any, None]):
    """Serves one schema, with one engine, to whom the authenticator knows."""

    websocket_adapter_class = SocketAdapter
    graphql_transport_ws_handler_class = SocketHandler
    stream_transport_classes_by_protocol = {  # noqa: RUF012  # Strawberry's declaration
        GRAPHQL_SSE_PROTOCOL: ServerSentEvents,
        MULTIPART_SUBSCRIPTION_PROTOCOL: Multipart,
    }

    def __init__(self, api: Api, engine: Engine, authenticator: Authenticator) -> None:
        settings = engine.settings
        super().__init__(
            api.schema,
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
        self.engine = engine
        self._authenticator = authenticator
        self.finishing: set[asyncio.Task[None]] = set()  # mutations whose clients have left
        self._present = api.present
        self._sockets = Sockets(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a socket; what goes wrong is an answer, too."""
        if scope["type"] == "websocket":
            await self._serve(WebSocket(scope, receive, send))
            return
        request = Request(scope, bounded(receive, self.engine.settings.max_body_bytes))
        request.state.wanted = negotiate(request.headers.get("accept"))
        response = await self._respond(request)

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self.engine.settings.send_timeout_s):
                await send(message)

        async with AsyncExitStack() as held:
            if isinstance(response, StreamingResponse):
                stream: Any = response.body_iterator
                await held.enter_async_context(aclosing(stream))  # wherever it is broken off
                try:
                    held.enter_context(self._sockets.opened(_address(request)))
                except TooManySockets as error:
                    response = _refusal(429, str(error), request)
            with suppress(TimeoutError):  # who does not read is let go
                await response(scope, receive, send_in_time)

    async def _respond(self, request: Request) -> Response:
        try:
            self._refuse_strange_host(request)
            if (
                request.state.wanted.page
                and request.method == "GET"
                and "query" not in request.query_params
            ):
                return graphiql.page(self.engine.settings.graphiql_dir)
            return await self.run(request)
        except HTTPException as refusal:
            return _refusal(refusal.status_code, refusal.reason, request)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except Exception:
            error_id = uuid4().hex[:12]
            logger.exception("Unexpected error %s", error_id)
            return _refusal(500, f"Internal error {error_id}: it was logged", request)

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
        if not self._authenticator.is_on and not is_trusted_host(host, trusted):
            raise HTTPException(403, f"This API is not reached as {host!r}: see ALLOWED_HOSTS")

    def new_context(self, viewer: Viewer) -> Context:
        """Make what one operation of a viewer has."""
        return Context(self.engine, viewer, self._present, self._authenticator)

    async def get_context(self, request: Any, response: Any) -> Any:  # noqa: ARG002  # its signature
        """Authenticate a request; a socket says later who it is."""
        if isinstance(request, WebSocket):
            return Connection(request)
        try:
            viewer = await self._authenticator.viewer(request.headers.get("authorization"))
        except Unauthenticated as error:
            raise HTTPException(401, str(error)) from error
        request.state.expires_at = viewer.expires_at
        return self.new_context(viewer)

    async def on_ws_connect(self, context: Connection) -> Any:
        """Authenticate a socket, by what it is opened with or by its first message."""
        given = context.connection_params or {}
        named = given.get("Authorization") or given.get("authorization")
        try:
            context.viewer = await self._authenticator.viewer(
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

    def should_render_graphql_ide(self, request: Any) -> bool:  # noqa: ARG002  # its signature
        """Never: the page is there for whoever has no token yet, too."""
        return False

    async def get_sub_response(self, request: Any) -> Response:
        """Begin the answer: with the media type that was asked for."""
        wanted: Wanted = request.state.wanted
        return Response(media_type=f"{wanted.single}; charset=utf-8")

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """Read a request strictly: its media type is `application/json`, its members have types."""
        return parse_request(await read_parameters(request))

    async def execute_operation(
        self,
        request: Any,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: Any,
        context: Any,
        root_value: None,  # noqa: ARG002  # its signature
        sub_response: Response,
    ) -> Any:
        """Choose between one answer and a stream by what the operation is, not by headers alone."""
        wanted: Wanted = request.state.wanted
        allowed = {OperationType.QUERY}
        if request_adapter.method == "POST":
            allowed.add(OperationType.MUTATION)
        if wanted.single:
            try:
                result = await self._execute(request_data, context, allowed)
            except InvalidOperationTypeError as error:
                if error.operation_type is OperationType.MUTATION:
                    raise HTTPException(405, "Send mutations by POST") from error
                if not wanted.stream:
                    raise HTTPException(400, f"Subscribe {_STREAMS}") from error
            else:
                is_new_type = wanted.single == RESPONSE
                sub_response.status_code = 400 if is_new_type and _is_refused(result) else 200
                return result
        transport = self._get_stream_transport(wanted.stream or "")
        if transport is None:
            raise HTTPException(406, f"There are {JSON} and {RESPONSE}; subscribe {_STREAMS}")
        request_data.protocol = wanted.stream
        return await self.schema.stream(
            request_data.query,
            variable_values=request_data.variables,
            context_value=context,
            operation_name=request_data.operation_name,
            operation_extensions=request_data.extensions,
            allowed_operation_types=transport.allowed_operation_types(
                allowed | {OperationType.SUBSCRIPTION}
            ),
        )

    async def _execute(
        self, asked: GraphQLRequestData, context: Context, allowed: set[OperationType]
    ) -> ExecutionResult:
        try:
            return await self.schema.execute(
                asked.query,
                variable_values=asked.variables,
                context_value=context,
                operation_name=asked.operation_name,
                operation_extensions=asked.extensions,
                allowed_operation_types=allowed,
            )
        except CannotGetOperationTypeError as error:
            refused = ApiError(error.as_http_error_reason(), Code.BAD_USER_INPUT)
            return ExecutionResult(data=None, errors=[refused])

    async def process_result(self, request: Any, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Leave `data` out where nothing was executed; what reads plain JSON has known it null."""
        answer = process_result(result)
        if _is_refused(result) and request.state.wanted.single != JSON:
            del answer["data"]
        return answer

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        """Answer with the media type that was chosen, and its status."""
        sub_response.body = sub_response.render(self.encode_json(response_data))
        sub_response.init_headers({"Cache-Control": "no-store"})
        return sub_response

    async def create_streaming_response(
        self,
        request: Any,  # its signature
        stream: Callable[[], AsyncIterator[str]],
        sub_response: Response,  # noqa: ARG002  # its signature
        headers: Mapping[str, str],
    ) -> Response:
        """Stream with the headers of the stream alone, until its token expires."""
        transport = self._get_stream_transport(request.state.wanted.stream)
        return StreamingResponse(
            until(request.state.expires_at, stream(), transport), headers=headers
        )


def _is_refused(result: ExecutionResult) -> bool:
    """Tell whether nothing was executed: an error of execution has a path."""
    return result.data is None and not any(error.path for error in result.errors or ())


def _refusal(status: int, reason: str, request: Request | None = None) -> Response:
    error = ApiError(reason, _CODES.get(status, Code.BAD_USER_INPUT))
    media_type = (request and request.state.wanted.single) or JSON
    return JSONResponse(
        {"errors": [error.formatted]}, status, _HEADERS.get(status), f"{media_type}; charset=utf-8"
    )


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""

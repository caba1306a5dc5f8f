"""The GraphQL endpoint at `/graphql`: single answers and streams over HTTP, and WebSockets.

It extends Strawberry's view and corrects some of its behavior; each method says what it corrects.
Strawberry's version is pinned, because some of the overridden methods are private.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import timedelta
from json import JSONDecodeError
from typing import Any

from cross_web import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLHTTPResponse, process_result
from strawberry.schema.base import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType
from structlog.contextvars import bind_contextvars

from celeryql.submission.accept import ANSWER_TIMEOUT_S
from graphql_api.api_errors import ApiError, ErrorCode, log_and_mask
from graphql_api.auth.authenticator import Unauthenticated
from graphql_api.auth.trusted_hosts import is_trusted_host
from graphql_api.auth.viewer import Viewer
from graphql_api.execution.context import Context, Services
from graphql_api.execution.documents import is_mutation
from graphql_api.transport.connection_limits import OpenConnections, TooManyConnections
from graphql_api.transport.negotiation import JSON, RESPONSE, AcceptedFormats, negotiate
from graphql_api.transport.request_body import decode_json, parse_request, read_parameters
from graphql_api.transport.streams import MultipartStream, ServerSentEvents, until_token_expires
from graphql_api.transport.websocket import (
    WebSocketAdapter,
    WebSocketConnection,
    WebSocketHandler,
)

_ALLOWED = {
    "GET": {OperationType.QUERY},
    "POST": {OperationType.QUERY, OperationType.MUTATION},
}
_NO_STORE = {"Cache-Control": "no-store"}
_HOW_TO_SUBSCRIBE = "over WebSocket (graphql-transport-ws) or with `Accept: text/event-stream`"
_CODES = {
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    429: ErrorCode.UNAVAILABLE,
    500: ErrorCode.INTERNAL,
}
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    405: {"Allow": "GET, POST"},
    429: {"Retry-After": "5"},
}


class GraphQLEndpoint(GraphQL[Any, None]):
    """Serves one schema with one engine.

    `request.state` holds what is known about a request before it is executed: the formats that the
    client accepts (`accepted`), and when its token expires (`expires_at`).
    """

    websocket_adapter_class = WebSocketAdapter
    graphql_transport_ws_handler_class = WebSocketHandler
    stream_transport_classes_by_protocol = {  # noqa: RUF012  # declared so by Strawberry
        GRAPHQL_SSE_PROTOCOL: ServerSentEvents,
        MULTIPART_SUBSCRIPTION_PROTOCOL: MultipartStream,
    }

    def __init__(
        self, schema: BaseSchema, services: Services, page: Callable[[], Response]
    ) -> None:
        """Serve a schema.

        Args:
            schema: the schema.
            services: what all operations share.
            page: returns the page for browsers.
        """
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
            max_subscriptions_per_connection=None,  # `WebSocketHandler` limits all operations
            allowed_origins=settings.cors_origins,
        )
        self.engine = services.engine
        self._services = services
        self._page = page
        self.unfinished_mutations: set[asyncio.Task[None]] = set()  # of WebSockets
        self._open_connections = OpenConnections(settings)
        services.metrics.open_sockets.set_function(lambda: self._open_connections.total)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a WebSocket; every failure gets a response."""
        if scope["type"] == "websocket":
            await self._serve_websocket(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        request.state.accepted = negotiate(request.headers.get("accept"))
        response = await self._respond(request)
        with suppress(ClientDisconnect):
            if isinstance(response, StreamingResponse):
                await self._send_stream(response, request, send)
            else:
                await self._send_in_time(response(scope, receive, send))

    async def finish(self) -> None:
        """Wait for mutations whose clients have disconnected; each has its own timeout."""
        if self.unfinished_mutations:
            await asyncio.wait(self.unfinished_mutations, timeout=2 * ANSWER_TIMEOUT_S)

    async def _send_stream(self, response: StreamingResponse, request: Request, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            await self._send_in_time(send(message))

        stream: Any = response.body_iterator
        async with aclosing(stream):  # wherever it is interrupted
            try:
                with self._open_connections.opened(_address(request)):
                    await response(request.scope, request.receive, send_in_time)
            except TooManyConnections as error:
                refusal = _refusal(429, str(error), request)
                await refusal(request.scope, request.receive, send_in_time)

    async def _send_in_time(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self.engine.settings.send_timeout_s) as timeout:
                await sending
        except TimeoutError as error:
            raise (ClientDisconnect() if timeout.expired() else error) from error

    async def _respond(self, request: Request) -> Response:
        try:
            self._refuse_untrusted_host(request)
            if (
                request.state.accepted.page
                and request.method == "GET"
                and "query" not in request.query_params
            ):
                return self._page()
            return await self._answer(request, await self._authenticate(request))
        except HTTPException as refusal:
            return _refusal(refusal.status_code, refusal.reason, request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody receives it
        except Exception as error:  # noqa: BLE001  # `log_and_mask` logs it
            return _refusal(500, log_and_mask(error), request)

    async def _serve_websocket(self, socket: WebSocket) -> None:
        try:
            self._refuse_untrusted_host(socket)
            with self._open_connections.opened(_address(socket)):
                await self.run(socket)
        except HTTPException:
            await self.reject_websocket(socket)
        except TooManyConnections as error:
            await socket.send_denial_response(_refusal(429, str(error)))

    def _refuse_untrusted_host(self, connection: HTTPConnection) -> None:
        host = connection.headers.get("host", "")
        trusted = self.engine.settings.allowed_hosts
        if not self._services.authenticator.is_on and not is_trusted_host(host, trusted):
            raise HTTPException(
                403, f"The host name {host!r} is not trusted: add it to ALLOWED_HOSTS"
            )

    def new_context(self, viewer: Viewer) -> Context:
        """Create the context of one operation."""
        bind_contextvars(owner=viewer.subject)  # for logs and messages from here on
        return Context(self._services, viewer)

    async def get_context(self, request: Any, response: Any) -> Any:  # noqa: ARG002  # Strawberry's signature
        """Create the context of a WebSocket, which authenticates later."""
        return WebSocketConnection(request)

    async def _authenticate(self, request: Request) -> Context:
        try:
            viewer = await self._services.authenticator.authenticate(
                request.headers.get("authorization")
            )
        except Unauthenticated as error:
            raise HTTPException(401, str(error)) from error
        request.state.expires_at = viewer.expires_at
        return self.new_context(viewer)

    async def on_ws_connect(self, context: WebSocketConnection) -> Any:
        """Authenticate a WebSocket by the payload of `connection_init`, or else by its header."""
        given = context.connection_params or {}
        context.connection_params = None  # it may be large, and a WebSocket lives long
        named = given.get("Authorization") or given.get("authorization")
        try:
            context.viewer = await self._services.authenticator.authenticate(
                named if isinstance(named, str) else context.socket.headers.get("authorization")
            )
        except Unauthenticated as error:
            raise ConnectionRejectionError from error
        return await super().on_ws_connect(context)

    def decode_json(self, data: str | bytes) -> object:
        """Decode a WebSocket message strictly; any malformed message raises `JSONDecodeError`."""
        if len(data) > self.engine.settings.max_body_bytes:
            raise JSONDecodeError("The message is too long", "", 0)
        return decode_json(data)

    async def _answer(self, request: Request, context: Context) -> Response:
        """Answer a request: with one response or a stream, depending on the operation.

        Strawberry's view decides by the headers alone.

        Raises:
            HTTPException: the request is refused.
        """
        if request.method not in _ALLOWED:
            raise HTTPException(405, "Send a GraphQL request by GET or POST")
        data = parse_request(await read_parameters(request, context.engine.settings))
        operation = {
            "query": data.query,
            "variable_values": data.variables,
            "context_value": context,
            "operation_name": data.operation_name,
            "operation_extensions": data.extensions,
        }
        accepted: AcceptedFormats = request.state.accepted
        if accepted.single:
            try:
                result = await self._execute(operation, _ALLOWED[request.method])
            except InvalidOperationTypeError as error:
                if not accepted.stream and error.operation_type is OperationType.SUBSCRIPTION:
                    raise HTTPException(400, f"Subscribe {_HOW_TO_SUBSCRIBE}") from error
            else:
                return self._single_response(result, accepted.single)
        return await self._stream_response(request, operation)

    async def _execute(
        self, operation: dict[str, Any], allowed: set[OperationType]
    ) -> ExecutionResult:
        try:
            return await self.schema.execute(**operation, allowed_operation_types=allowed)
        except CannotGetOperationTypeError as error:
            refused = ApiError(error.as_http_error_reason(), ErrorCode.BAD_USER_INPUT)
            return ExecutionResult(data=None, errors=[refused])

    def _single_response(self, result: ExecutionResult, media_type: str) -> Response:
        status = 400 if media_type == RESPONSE and _is_request_error(result) else 200
        content = self.encode_json(_formatted(result, media_type))
        return Response(content, status, _NO_STORE, f"{media_type}; charset=utf-8")

    async def _stream_response(self, request: Request, operation: dict[str, Any]) -> Response:
        document = operation["query"], operation["operation_name"]
        limits = operation["context_value"].document_limits
        if request.method == "GET" and is_mutation(self.schema, *document, limits):
            raise HTTPException(405, "Send mutations by POST")
        accepted: AcceptedFormats = request.state.accepted
        if accepted.stream is None:
            raise HTTPException(
                406, f"Accept {JSON} or {RESPONSE}; to subscribe, connect {_HOW_TO_SUBSCRIBE}"
            )
        transport = self._stream_transport_map[accepted.stream]
        allowed = transport.allowed_operation_types(
            _ALLOWED[request.method] | {OperationType.SUBSCRIPTION}
        )
        result: Any = await self.schema.stream(**operation, allowed_operation_types=allowed)
        return await self._create_streaming_response(request, result, accepted.stream, Response())

    async def process_result(self, request: Any, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Format one result of a stream."""
        return _formatted(result, request.state.accepted.single)

    async def create_streaming_response(
        self,
        request: Any,
        stream: Callable[[], Any],  # returns an async generator of text
        sub_response: Response,  # noqa: ARG002  # Strawberry's signature
        headers: Mapping[str, str],
    ) -> Response:
        """Stream until the client's token expires, with the headers of the stream format only."""
        transport = self._stream_transport_map[request.state.accepted.stream]
        texts = until_token_expires(request.state.expires_at, stream(), transport)
        return StreamingResponse(texts, headers=headers)


def _formatted(result: ExecutionResult, media_type: str | None) -> GraphQLHTTPResponse:
    """Leave out `data` if nothing was executed.

    Responses of type `application/json` keep `data: null`, as clients expect.
    """
    answer = process_result(result)
    if media_type != JSON and _is_request_error(result):
        del answer["data"]
    return answer


def _is_request_error(result: ExecutionResult) -> bool:
    """Whether nothing was executed: an error of execution has a path."""
    return result.data is None and not any(error.path for error in result.errors or ())


def _refusal(status: int, reason: str, request: Request | None = None) -> Response:
    error = ApiError(reason, _CODES.get(status, ErrorCode.BAD_USER_INPUT))
    media_type = (request and request.state.accepted.single) or JSON
    return JSONResponse(
        {"errors": [error.formatted]}, status, _HEADERS.get(status), f"{media_type}; charset=utf-8"
    )


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""

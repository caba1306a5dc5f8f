"""GraphQL over WebSocket: the graphql-transport-ws protocol, its messages and its close codes.

Strawberry keeps the state of the protocol, and closes a WebSocket with:

- 4400: a message that is not one of the protocol's; here also for wrong shapes and bad JSON.
- 4401: `subscribe` before `connection_ack`.
- 4403: authentication failed, or, here, the token has expired.
- 4406: no common subprotocol.
- 4408: no `connection_init` in time.
- 4409: an operation id that is in use.
- 4429: a second `connection_init`.

This module also changes these: an invalid document ends its own operation only, each operation has
its own context, and a mutation is completed even if its client disconnects.

Source: PROTOCOL.md of the npm package `graphql-ws`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from time import time
from typing import Annotated, Any, Literal

from graphql import GraphQLError
from pydantic import BaseModel, ConfigDict, Discriminator, Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)

from graphql_api.api_errors import ApiError, ErrorCode, log_and_mask
from graphql_api.auth.viewer import Viewer
from graphql_api.execution.context import Context
from graphql_api.execution.documents import is_mutation

_TOKEN_EXPIRED = 4403
_REASON_MAX_BYTES = 123  # RFC 6455, 5.5: 125 bytes in a control frame, less two for the code
_UNAUTHENTICATED = Viewer("nobody", frozenset())

_OperationId = Annotated[str, Field(max_length=255)]  # every event of the operation repeats it


class _ClientMessage(BaseModel):
    model_config = ConfigDict(strict=True)


class _ConnectionMessage(_ClientMessage):
    type: Literal["connection_init", "ping", "pong"]
    payload: dict[str, Any] | None = None


class _SubscribePayload(_ClientMessage):
    query: str
    operationName: str | None = None  # noqa: N815  # the protocol's name
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


class _SubscribeMessage(_ClientMessage):
    type: Literal["subscribe"]
    id: _OperationId
    payload: _SubscribePayload


class _CompleteMessage(_ClientMessage):
    type: Literal["complete"]
    id: _OperationId


#: Every message that a client may send.
_CLIENT_MESSAGE: TypeAdapter[_ConnectionMessage | _SubscribeMessage | _CompleteMessage] = (
    TypeAdapter(
        Annotated[_ConnectionMessage | _SubscribeMessage | _CompleteMessage, Discriminator("type")]
    )
)


@dataclass
class WebSocketConnection:
    """One WebSocket and its viewer; Strawberry stores the payload of `connection_init` here."""

    socket: WebSocket
    connection_params: dict[str, Any] | None = None
    viewer: Viewer = _UNAUTHENTICATED  # until `connection_ack`


class WebSocketAdapter(ASGIWebSocketAdapter):
    """Raises the same error however the disconnect is detected."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message.

        Raises:
            WebSocketDisconnected: the client has disconnected.
        """
        if self.ws.application_state is WebSocketState.DISCONNECTED:
            raise WebSocketDisconnected
        await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket once; a reason that repeats client input is cut to fit a frame."""
        reason = reason.encode()[:_REASON_MAX_BYTES].decode(errors="ignore")
        if self.ws.application_state is not WebSocketState.DISCONNECTED:
            with suppress(WebSocketDisconnected, WebSocketDisconnect):
                await super().close(code, reason)


class WebSocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """Serves one WebSocket."""

    view: Any
    websocket: Any
    context: WebSocketConnection
    _expiry: asyncio.Task[None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._abandoned: set[asyncio.Task[None]] = set()  # mutations that the client completed

    async def shutdown(self) -> None:
        """Stop every operation."""
        if self._expiry:
            self._expiry.cancel()
        await super().shutdown()

    async def handle_message(self, message: Any) -> None:
        """Close the WebSocket on a message that the protocol does not have."""
        try:
            _CLIENT_MESSAGE.validate_python(message)
        except ValidationError:
            await self.handle_invalid_message("Not a message of graphql-transport-ws")
        else:
            await super().handle_message(message)

    async def handle_connection_init(self, message: Any) -> None:
        """Authenticate the client, and close the WebSocket when its token expires."""
        await super().handle_connection_init(message | {"payload": message.get("payload") or {}})
        expires_at = self.context.viewer.expires_at
        if self.connection_acknowledged and expires_at is not None and not self._expiry:
            self._expiry = asyncio.create_task(self._close_at(expires_at))

    async def _close_at(self, expires_at: float) -> None:
        await asyncio.sleep(expires_at - time())
        for operation_id in list(self.operations):
            await self.cleanup_operation(operation_id)
        await self.websocket.close(code=_TOKEN_EXPIRED, reason="Token expired")

    async def handle_subscribe(self, message: Any) -> None:
        """Start an operation; one above the limit is refused and the others go on."""
        most = self.view.engine.settings.max_operations_per_socket
        is_new = self.connection_acknowledged and message["id"] not in self.operations
        if is_new and len(self.operations) + len(self._abandoned) >= most:
            text = f"This WebSocket already runs {most} operations: complete one first"
            error = ApiError(text, ErrorCode.UNAVAILABLE).formatted
            await self.send_message({"id": message["id"], "type": "error", "payload": [error]})
        else:
            await super().handle_subscribe(message)
            await asyncio.sleep(0)  # the operation starts before a `complete` can cancel it

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        """Run an operation; a mutation runs to its end even if the client leaves."""
        context: Context = self.view.new_context(self.context.viewer)
        text, name = operation.query, operation.operation_name
        if not is_mutation(self.view.schema, text, name, context.document_limits):
            await self._run(operation, context)
            return
        running = asyncio.create_task(self._run(operation, context))
        self.view.unfinished_mutations.add(running)
        running.add_done_callback(self.view.unfinished_mutations.discard)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            operation.completed = True  # nothing more is sent
            self._abandoned.add(running)
            running.add_done_callback(self._abandoned.discard)
            raise

    async def _run(self, operation: Operation[Any, None], context: Context) -> None:
        try:
            results = await self.schema.stream(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.operation_name,
            )
            async with aclosing(results):
                await self._send_result_stream(operation, results)
            await operation.send_operation_message({"id": operation.id, "type": "complete"})
        except WebSocketDisconnected:
            pass
        except Exception as error:  # noqa: BLE001  # `mask` logs it
            await operation.send_initial_errors([ApiError(log_and_mask(error), ErrorCode.INTERNAL)])

    @staticmethod
    def _get_pre_execution_close_reason(_: GraphQLError) -> None:
        """Keep the WebSocket open after an invalid document."""

    def forget_id(self, id: str) -> None:
        """Free an operation id; it may be free already."""
        self.operations.pop(id, None)

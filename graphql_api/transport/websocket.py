"""GraphQL over WebSocket: the graphql-transport-ws protocol, to the letter.

Strawberry keeps the states of the protocol. What is put right here: a message of another shape ends
the socket with 4400 instead of a traceback, a bad document ends its own operation only, each
operation has a context of its own, a mutation is not broken off, and a socket ends with its token.

Source: PROTOCOL.md of the npm package `graphql-ws`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from time import time
from typing import Any

from graphql import GraphQLError
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)

from graphql_api.api_errors import ApiError, Code, mask
from graphql_api.auth.authenticator import Viewer
from graphql_api.context import Context
from graphql_api.execution.documents import is_mutation
from graphql_api.transport.messages import MESSAGE

_REASON_MAX_BYTES = 123  # RFC 6455, 5.5: a control frame has 125 bytes, two of them for the code
NOBODY = Viewer("nobody", frozenset())


@dataclass
class Connection:
    """What is known of one socket; Strawberry puts the payload of `connection_init` here."""

    socket: WebSocket
    connection_params: dict[str, Any] | None = None
    viewer: Viewer = NOBODY  # until the socket is acknowledged


class SocketAdapter(ASGIWebSocketAdapter):
    """Tells in one way that a client has gone: whenever that is, and whoever notices it."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message.

        Raises:
            WebSocketDisconnected: there is nobody who takes it.
        """
        if self.ws.application_state is WebSocketState.DISCONNECTED:
            raise WebSocketDisconnected
        await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, once; a reason that repeats what was sent is cut to fit a frame."""
        reason = reason.encode()[:_REASON_MAX_BYTES].decode(errors="ignore")
        if self.ws.application_state is not WebSocketState.DISCONNECTED:
            with suppress(WebSocketDisconnected, WebSocketDisconnect):
                await super().close(code, reason)


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """Serves one socket."""

    view: Any
    websocket: Any
    context: Connection
    _expiry: asyncio.Task[None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left: set[asyncio.Task[None]] = set()  # mutations whose client waits no more

    async def shutdown(self) -> None:
        """Stop all that goes on."""
        if self._expiry:
            self._expiry.cancel()
        await super().shutdown()

    async def handle_message(self, message: Any) -> None:
        """Refuse what is no message of the protocol."""
        try:
            MESSAGE.validate_python(message)
        except ValidationError:
            await self.handle_invalid_message("This is no message of graphql-transport-ws")
        else:
            await super().handle_message(message)

    async def handle_connection_init(self, message: Any) -> None:
        """Know who is there, until their token expires."""
        await super().handle_connection_init(message | {"payload": message.get("payload") or {}})
        expires_at = self.context.viewer.expires_at
        if self.connection_acknowledged and expires_at is not None and not self._expiry:
            self._expiry = asyncio.create_task(self._end_at(expires_at))

    async def _end_at(self, expires_at: float) -> None:
        await asyncio.sleep(expires_at - time())
        for operation_id in list(self.operations):
            await self.cleanup_operation(operation_id)
        await self.websocket.close(code=4403, reason="Token expired")

    async def handle_subscribe(self, message: Any) -> None:
        """Refuse an operation too many, and it alone."""
        most = self.view.engine.settings.max_operations_per_socket
        is_new = self.connection_acknowledged and message["id"] not in self.operations
        if is_new and len(self.operations) + len(self._left) >= most:
            text = f"A socket has at most {most} operations at a time"
            error = ApiError(text, Code.UNAVAILABLE).formatted
            await self.send_message({"id": message["id"], "type": "error", "payload": [error]})
        else:
            await super().handle_subscribe(message)
            await asyncio.sleep(0)  # so that it has begun before the client can take it back

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        """Run an operation; a mutation to its end, even if its client leaves."""
        context: Context = self.view.new_context(self.context.viewer)
        text, name = operation.query, operation.operation_name
        if not is_mutation(self.view.schema, text, name, context.policy):
            await self._run(operation, context)
            return
        running = asyncio.create_task(self._run(operation, context))
        self.view.finishing.add(running)
        running.add_done_callback(self.view.finishing.discard)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            operation.completed = True  # so that nothing more is sent
            self._left.add(running)
            running.add_done_callback(self._left.discard)
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
        except Exception as error:  # noqa: BLE001  # it is logged
            await operation.send_initial_errors([ApiError(mask(error), Code.INTERNAL)])

    @staticmethod
    def _get_pre_execution_close_reason(_: GraphQLError) -> None:
        """Leave the socket open, whatever is wrong with a document."""

    def forget_id(self, id: str) -> None:
        """Make an id free again; it may be already."""
        self.operations.pop(id, None)

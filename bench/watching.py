"""A cheap client for subscriptions: graphql-transport-ws over many sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

_AT_ONCE = 50  # sockets that are opened concurrently


class Socket:
    """A socket whose connection was acknowledged."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def subscribe(self, document: str, variables: Sequence[Mapping[str, Any]]) -> None:
        """Start one subscription for each set of variables."""
        for i, given in enumerate(variables):
            payload = {"query": document, "variables": given}
            await self._send({"id": str(i), "type": "subscribe", "payload": payload})

    async def until_live(self) -> None:
        """Wait until subscriptions without a first event are live; pings are answered in order."""
        await self._send({"type": "ping"})
        assert (await self._next())["type"] == "pong"
        await asyncio.sleep(0.2)  # a subscription registers shortly after it starts

    async def receive(self, count: int) -> None:
        """Receive a number of events."""
        for _ in range(count):
            message = await self._next()
            assert message["type"] == "next", message
            assert "errors" not in message["payload"], message

    async def next_text(self) -> str:
        """Receive one message without parsing it."""
        return str(await self._connection.recv())

    async def _next(self) -> Any:
        return json.loads(await self._connection.recv())

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._connection.send(json.dumps(message))


async def _open(url: str) -> ClientConnection:
    return await connect(url, subprotocols=["graphql-transport-ws"], compression=None)  # type: ignore[list-item]  # a NewType of str


@asynccontextmanager
async def sockets(url: str, count: int) -> AsyncIterator[list[Socket]]:
    """Open sockets to a GraphQL API."""
    address = url.replace("http", "ws", 1) + "/graphql"
    async with AsyncExitStack() as held:
        opened = []
        for connection in await open_all([address] * count, held):
            await connection.send('{"type": "connection_init"}')
            assert "connection_ack" in str(await connection.recv())
            opened.append(Socket(connection))
        yield opened


async def open_all(urls: Sequence[str], held: AsyncExitStack) -> list[ClientConnection]:
    """Open a WebSocket to each address; the stack closes them."""
    opened: list[ClientConnection] = []
    for i in range(0, len(urls), _AT_ONCE):
        opened += await asyncio.gather(*map(_open, urls[i : i + _AT_ONCE]))
    for connection in opened:
        held.callback(connection.transport.abort)
    return opened

"""Clients of subscriptions that cost little: graphql-transport-ws over many sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

_TOGETHER = 50  # sockets that are opened at once


class Socket:
    """One socket that was acknowledged."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def subscribe(self, document: str, variables: Sequence[Mapping[str, Any]]) -> None:
        """Begin as many subscriptions as there are variables."""
        for i, given in enumerate(variables):
            payload = {"query": document, "variables": given}
            await self._send({"id": str(i), "type": "subscribe", "payload": payload})

    async def until_live(self) -> None:
        """Wait until subscriptions that begin with no event live: pings are answered in order."""
        await self._send({"type": "ping"})
        assert (await self._next())["type"] == "pong"
        await asyncio.sleep(0.2)  # each is registered a moment after it has begun

    async def receive(self, count: int) -> None:
        """Take so many events."""
        for _ in range(count):
            message = await self._next()
            assert message["type"] == "next", message
            assert "errors" not in message["payload"], message

    async def next_text(self) -> str:
        """Take one message as it is."""
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
    """Open a WebSocket to each address, some at a time; they are closed with the stack."""
    opened: list[ClientConnection] = []
    for i in range(0, len(urls), _TOGETHER):
        opened += await asyncio.gather(*map(_open, urls[i : i + _TOGETHER]))
    for connection in opened:
        held.callback(connection.transport.abort)
    return opened

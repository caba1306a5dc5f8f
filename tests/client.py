"""A GraphQL client of the API, which uses no code of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.processes import DEADLINE_S


@dataclass(frozen=True)
class Client:
    """A GraphQL client: HTTP for operations, graphql-transport-ws for subscriptions.

    Attributes:
        headers: sent with each request and each WebSocket handshake.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    async def execute(self, operation: str, **variables: Any) -> dict[str, Any]:
        """Run a query or mutation, and return its data; errors fail the test."""
        answer = await self.answer(operation, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def answer(self, operation: str, **variables: Any) -> dict[str, Any]:
        """Run a query or mutation, and return the whole response."""
        async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
            body = {"query": operation, "variables": variables}
            # ASCII, unlike httpx's own JSON, so that a test can send lone surrogates.
            headers = {**self.headers, "content-type": "application/json"}
            request = http.post(f"{self.url}/graphql", content=json.dumps(body), headers=headers)
            return (await request).json()

    async def enqueue(
        self, task: str, options: dict[str, Any] | None = None, /, **arguments: Any
    ) -> str:
        """Enqueue a task by its name in camelCase, or a `workflow`, and return its id."""
        name = task[0].upper() + task[1:]
        success = f"... on Enqueue{name}Success {{ task {{ id }} }} ... on Error {{ message }}"
        operation = (
            f"mutation($input: {name}Input!, $options: TaskOptions) {{"
            f" enqueue{name}(input: $input, options: $options) {{ {success} }} }}"
        )
        data = await self.execute(operation, input=arguments, options=options)
        return data[f"enqueue{name}"]["task"]["id"]

    async def watch(self, operation: str, **variables: Any) -> AsyncIterator[dict[str, Any]]:
        """Subscribe, and yield each message until `complete` or, inclusive, `error`."""
        url = self.url.replace("http", "ws", 1) + "/graphql"
        # A test that leaves early reads no further, so it never sees the close frame.
        options = {"subprotocols": ["graphql-transport-ws"], "close_timeout": 1}
        async with connect(url, additional_headers=self.headers, **options) as socket:
            await socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            payload = {"query": operation, "variables": variables}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            while True:
                async with asyncio.timeout(DEADLINE_S):
                    message = json.loads(await socket.recv())
                if message["type"] == "complete":
                    return
                yield message
                if message["type"] == "error":  # the last message of an operation
                    return

    async def events(self, operation: str, **variables: Any) -> list[dict[str, Any]]:
        """Subscribe to `task`, and return all events."""
        messages = [message async for message in self.watch(operation, **variables)]
        assert all("errors" not in message["payload"] for message in messages), messages
        return [message["payload"]["data"]["task"] for message in messages]

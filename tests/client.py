"""A client of the API, which speaks its protocols as any other would."""

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
        headers: sent with each request, and with the opening of each socket.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    async def execute(self, operation: str, **variables: Any) -> dict[str, Any]:
        """Run a query or mutation, and give its data."""
        answer = await self.answer(operation, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def answer(self, operation: str, **variables: Any) -> dict[str, Any]:
        """Run a query or mutation, and give the whole answer."""
        async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
            body = {"query": operation, "variables": variables}
            # In ASCII, as httpx does not do it: so a test can send what is no Unicode.
            headers = {**self.headers, "content-type": "application/json"}
            request = http.post(f"{self.url}/graphql", content=json.dumps(body), headers=headers)
            return (await request).json()

    async def enqueue(
        self, task: str, options: dict[str, Any] | None = None, /, **arguments: Any
    ) -> str:
        """Enqueue a task by its name in camelCase, or a `workflow`, and give its id."""
        name = task[0].upper() + task[1:]
        success = f"... on Enqueue{name}Success {{ task {{ id }} }} ... on Error {{ message }}"
        operation = (
            f"mutation($input: {name}Input!, $options: TaskOptions) {{"
            f" enqueue{name}(input: $input, options: $options) {{ {success} }} }}"
        )
        data = await self.execute(operation, input=arguments, options=options)
        return data[f"enqueue{name}"]["task"]["id"]

    async def watch(self, operation: str, **variables: Any) -> AsyncIterator[dict[str, Any]]:
        """Subscribe, and give each message; `complete` ends it untold, an `error` is the last."""
        url = self.url.replace("http", "ws", 1) + "/graphql"
        # Who leaves in the middle does not read what is left, and so never sees the close answered.
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
                if message["type"] == "error":  # the protocol has nothing follow it
                    return

    async def events(self, operation: str, **variables: Any) -> list[dict[str, Any]]:
        """Subscribe to `task`, and give all its events."""
        messages = [message async for message in self.watch(operation, **variables)]
        assert all("errors" not in message["payload"] for message in messages), messages
        return [message["payload"]["data"]["task"] for message in messages]

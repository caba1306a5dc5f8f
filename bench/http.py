"""A cheap HTTP/1.1 client over persistent connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

CONNECTIONS = 8


class Connection:
    """A connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, path: str, body: object) -> Any:
        """Post JSON and return the JSON of the response.

        Raises:
            RuntimeError: the status is not 200.
        """
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        answer = await self._reader.readexactly(int(headers["content-length"]))
        if " 200 " not in status:
            raise RuntimeError(f"{status}: {answer.decode()}")
        return json.loads(answer)

    async def query(self, document: str, **variables: Any) -> Any:
        """Run a GraphQL operation and return its data."""
        answer = await self.post("/graphql", {"query": document, "variables": variables})
        assert "errors" not in answer, answer
        return answer["data"]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Open one connection."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**24)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def post_all(url: str, path: str, bodies: Iterable[object]) -> None:
    """Post each body once, over eight concurrent connections."""
    left = iter(bodies)

    async def work() -> None:
        async with connected(url) as connection:
            for body in left:
                await connection.post(path, body)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())

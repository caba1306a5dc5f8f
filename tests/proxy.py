"""A TCP proxy in front of Redis that breaks connections as networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

_CHUNK = 65_536  # bytes
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: a close sends RST in place of FIN


class Link:
    """A client's connection, and the connection to Redis behind it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self._proxy, self._client = proxy, client
        self.is_dead = proxy.is_hole  # passes no data, and stays open
        self.resets_on_answer = False

    async def run(self, from_client: asyncio.StreamReader) -> None:
        """Pass data in both directions until one side closes."""
        from_redis, redis = await asyncio.open_connection(*self._proxy.target)
        ways = {
            asyncio.create_task(self._pass_requests(from_client, redis)),
            asyncio.create_task(self._pass_answers(from_redis)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            redis.close()
            self._client.close()

    async def _pass_requests(
        self, reader: asyncio.StreamReader, redis: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if not self.is_dead:
                    redis.write(data)

    async def _pass_answers(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self._proxy.latency_s)
                if self.resets_on_answer:
                    self.reset()
                elif not self.is_dead:
                    self._client.write(data)

    def reset(self) -> None:
        """Send the client an RST."""
        connection = self._client.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._client.transport.abort()

    def reset_on_answer(self) -> None:
        """Send the client an RST instead of the next response of Redis."""
        self.resets_on_answer = True

    def finish(self) -> None:
        """Send the client a FIN, and read no more from it."""
        self._client.close()

    def half_close(self) -> None:
        """Send the client a FIN, and go on reading from it."""
        self.is_dead = True
        self._client.write_eof()

    def swallow(self) -> None:
        """Drop all further data without closing the connection."""
        self.is_dead = True


class Proxy:
    """Listens on a free port, in its own thread."""

    def __init__(self, url: str) -> None:
        """Start with a working network.

        Args:
            url: the Redis behind the proxy.
        """
        redis = urlsplit(url)
        self.target = (redis.hostname, redis.port)
        self._redis = redis
        self.latency_s = 0.0  # of each response
        self.is_hole = False  # new connections pass no data
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._await(asyncio.start_server(self._serve, "127.0.0.1", 0))
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._redis._replace(netloc=f":{self._redis.password}@127.0.0.1:{port}").geturl()
        return self

    def __exit__(self, *_: object) -> None:
        self._await(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def each(self, action: Callable[[Link], None]) -> None:
        """Apply an action to every open connection."""

        async def do() -> None:
            for link in list(self._links):
                action(link)

        self._await(do())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, writer)
        self._links.add(link)
        try:
            await link.run(reader)
        finally:
            self._links.discard(link)

    async def _end(self) -> None:
        self._server.close()
        while self._links:
            for link in self._links:
                link.reset()
            await asyncio.sleep(0.01)

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

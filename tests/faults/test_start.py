"""Test that a worker starts despite connection resets, without special command-line options."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.slow

RESET = struct.pack("ii", 1, 0)  # closing with SO_LINGER 0 resets a connection


class Proxy:
    """Forwards to Redis, and resets all connections when it first sees a given command."""

    def __init__(self, url: str, command: bytes) -> None:
        parts = urlsplit(url)
        self._redis, self._command = (parts.hostname, parts.port), command
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.has_reset = False
        self.url = url.replace(f":{parts.port}", f":{self._listener.getsockname()[1]}")

    def run(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                redis = socket.create_connection(self._redis)
                self._pairs.append((client, redis))
                for pair in ((client, redis), (redis, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if self._command in data and not self.has_reset:
                    self.has_reset = True
                    self.close_all()
                target.sendall(data)
        for end in (source, target):
            end.close()

    def close_all(self) -> None:
        for pair in self._pairs:
            for end in pair:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RD)
                end.close()
        self._pairs.clear()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.close_all()


@contextmanager
def proxy(url: str, command: bytes) -> Iterator[Proxy]:
    made = Proxy(url, command)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join()


@pytest.mark.parametrize("command", ["HELLO", "SMEMBERS", "BRPOP"])
async def test_a_worker_starts_although_its_connections_are_reset(site, command):
    with proxy(site.server.url, command.encode()) as between:
        worker = site.run_worker("a", REDIS_URL=between.url)
        await site.work(["k"], seconds=0)
        states = await site.all_end()
        is_alive = worker.is_alive()
        worker.kill()

    assert between.has_reset
    assert (states, is_alive) == ({"SUCCEEDED": 1}, True)
    assert site.ledger.counts() == {"k": 1}


async def test_workers_do_not_communicate_with_each_other(site):
    worker = site.run_worker("a")
    other = site.run_worker("b", "solo")
    await site.work(["k"], seconds=0)
    await site.all_end()

    logs = worker.log.read_text() + other.log.read_text()
    assert "mingle" not in logs
    assert site.redis.pubsub_numpat() == 1  # both subscribe to remote control only

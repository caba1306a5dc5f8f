"""Clients that disconnect, or stay connected without reading, keep no resources."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from contextlib import asynccontextmanager

import pytest
from psutil import Process
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from celeryql.settings import Settings
from tasks.general import echo
from tests.celeryql.conftest import backend, report
from tests.serving import serving, until, until_live

__all__ = ["backend", "report"]  # fixtures

pytestmark = pytest.mark.slow

FREED_WITHIN_S = 1.0
PING_S = 0.5
MESSAGE = "x" * 8_000
# Each event has 0.4 MB, so a few of them fill all buffers on the way.
LARGE = " ".join(f"a{i}: input {{ message }}" for i in range(50))
WATCH = f"subscription($id: ID!) {{ task(id: $id) {{ task {{ ... on EchoTask {{ {LARGE} }} }} }} }}"


@pytest.fixture
def url(redis_url, empty_redis):
    return redis_url.removesuffix("0") + "1"


@pytest.fixture
async def api(url):
    async with serving(
        Settings(redis_url=url), ws_ping_interval=PING_S, ws_ping_timeout=PING_S
    ) as c:
        yield c


class Connection:
    """A bare TCP connection to the API that reads only on request."""

    def __init__(self, client):
        host, _, port = client.url.removeprefix("http://").partition(":")
        self._peer = socket.socket()
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._peer.connect((host, int(port)))
        self._peer.setblocking(False)
        self._protocol = ClientProtocol(
            parse_uri(f"ws://{host}:{port}/graphql"), subprotocols=["graphql-transport-ws"]
        )
        self._host = f"{host}:{port}"
        self.port = self._peer.getsockname()[1]

    async def write(self, data):
        await asyncio.get_running_loop().sock_sendall(self._peer, data)

    async def read(self):
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recv(self._peer, 1_000)

    async def watch_by_socket(self, task_id):
        self._protocol.send_request(self._protocol.connect())
        await self._flush()
        self._protocol.receive_data(await self.read())
        payload = {"query": WATCH, "variables": {"id": task_id}}
        for message in (
            {"type": "connection_init"},
            {"type": "subscribe", "id": "1", "payload": payload},
        ):
            self._protocol.send_text(json.dumps(message).encode())
            await self._flush()
            await self.read()

    async def _flush(self):
        for data in self._protocol.data_to_send():
            await self.write(data)

    async def watch_by_stream(self, task_id, accept):
        await self.ask(WATCH, {"id": task_id}, accept)

    async def ask(self, query, variables, accept):
        body = json.dumps({"query": query, "variables": variables})
        await self.write(
            f"POST /graphql HTTP/1.1\r\nHost: {self._host}\r\nAccept: {accept}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        await self.read()

    async def finish(self):
        """Send FIN, and stop reading."""
        self._peer.shutdown(socket.SHUT_WR)

    async def reset(self):
        """Reset the connection (RST)."""
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._peer.close()

    async def close(self):
        """Close the connection: FIN, then RST for data that still arrives."""
        self._peer.close()


PROTOCOLS = {
    "socket": lambda connection, id_: connection.watch_by_socket(id_),
    "events": lambda connection, id_: connection.watch_by_stream(id_, "text/event-stream"),
    "multipart": lambda connection, id_: connection.watch_by_stream(
        id_, "multipart/mixed;subscriptionSpec=1.0"
    ),
}


@asynccontextmanager
async def watching(api, watch, empty_redis):
    """Subscribe, and yield the connection once the subscription waits for events."""
    task_id = await api.enqueue("echo", message=MESSAGE)
    connection = Connection(api)
    await watch(connection, task_id)
    await until_live(api, 1)
    try:
        yield connection, task_id
    finally:
        await connection.close()


@pytest.mark.alone
@pytest.mark.parametrize("watch", PROTOCOLS.values(), ids=PROTOCOLS)
@pytest.mark.parametrize("leave", ["finish", "reset", "close"])
async def test_a_client_that_disconnects_is_forgotten_within_a_second(
    api, empty_redis, watch, leave
):
    async with watching(api, watch, empty_redis) as (connection, _):
        began = time.monotonic()
        await getattr(connection, leave)()
        await until_live(api, 0)

        assert time.monotonic() - began < FREED_WITHIN_S


@pytest.mark.parametrize("watch", PROTOCOLS.values(), ids=PROTOCOLS)
async def test_a_subscriber_that_does_not_read_is_disconnected(api, empty_redis, report, watch):
    async with watching(api, watch, empty_redis) as (_, task_id):
        for _ in range(30):  # 12 MB, more than any buffer holds
            report(echo, task_id, "RETRY", ValueError("again"))

        await until_live(api, 0)  # although the client stays connected


@pytest.mark.alone
async def test_a_client_that_answers_no_ping_is_disconnected(api, empty_redis):
    async with watching(api, PROTOCOLS["socket"], empty_redis):
        began = time.monotonic()
        await until_live(api, 0)

        assert time.monotonic() - began < 2 * PING_S + FREED_WITHIN_S


async def test_a_client_that_does_not_read_a_large_response_is_disconnected(api, empty_redis):
    items = [{"task": {"echo": {"message": MESSAGE}}}] * 20
    batch = "mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) { __typename } }"
    await api.execute(batch, tasks=items)
    connection = Connection(api)
    query = f"{{ tasks(first: 20) {{ nodes {{ ... on EchoTask {{ {LARGE} }} }} }} }}"  # 8 MB
    await connection.ask(query, {}, "*/*")

    def is_held():
        return any(c.raddr and c.raddr.port == connection.port for c in Process().net_connections())

    assert is_held()
    await until(lambda: not is_held())
    await connection.close()

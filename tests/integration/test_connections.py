"""Connections of clients that send no request, or one without end, are closed."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from psutil import Process

from celeryql.settings import Settings
from graphql_api.transport.uvicorn_protocols import LimitedHttpProtocol
from tests.public import KINDS, TOKEN, public_settings
from tests.serving import serving

pytestmark = pytest.mark.slow

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = (
    b"GET /graphql?query=subscription{cluster{__typename}} HTTP/1.1\r\n"
    b"Host: localhost\r\nAccept: text/event-stream\r\n"
    b"Authorization: Bearer %s\r\n\r\n" % TOKEN.encode()
)


class Hasty(LimitedHttpProtocol):
    """Closes connections sooner."""

    head_timeout_s = 0.5


@pytest.fixture(params=KINDS)
async def connect(request, redis_url, empty_redis, tmp_path):
    """Return a function that connects to an API with short timeouts."""
    more = public_settings(tmp_path) if request.param == KINDS[1] else {}
    settings = Settings(redis_url=redis_url, **more)
    async with (
        contextlib.AsyncExitStack() as open_ones,
        serving(settings, http=Hasty, timeout_keep_alive=60) as client,
    ):
        port = int(client.url.rpartition(":")[2])

        async def connect():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            open_ones.callback(writer.close)
            return reader, writer

        yield connect


async def send_endlessly(writer, more):
    while True:
        writer.write(more)
        await writer.drain()


async def send_slowly(writer, more):
    while True:
        writer.write(more)
        await asyncio.sleep(0.1)  # below the timeout of a client


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /healthz HTT", GET, GET + b"X: "],
    ids=["nothing", "part of a line", "part of headers", "part of a header"],
)
async def test_a_client_that_does_not_finish_its_headers_is_disconnected(connect, sent):
    reader, writer = await connect()
    writer.write(sent)

    async with asyncio.timeout(5):
        await reader.read()


async def test_half_a_request_after_a_response_does_not_keep_the_connection(connect):
    reader, writer = await connect()
    writer.write(GET + b"\r\n")
    await reader.readuntil(b'{"status":"alive"}')
    writer.write(b"\r\n")

    async with asyncio.timeout(5):
        assert await reader.read() == b""


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        (b"GET /", b"a" * 1_000),
        (GET + b"X: ", b"a" * 1_000),
        (GET, b"X: y\r\n" * 100),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * 100),
    ],
    ids=["line", "header", "headers", "trailers"],
)
async def test_endless_headers_are_not_read_further(connect, sent, more):
    _, writer = await connect()
    began = time.monotonic()
    writer.write(sent)
    with pytest.raises(ConnectionError):
        await send_endlessly(writer, more)

    assert time.monotonic() - began < 5


async def test_a_stream_and_pipelined_requests_are_served(connect):
    watching, watcher = await connect()
    reader, writer = await connect()
    watcher.write(STREAM)
    await watching.readuntil(b"__typename")
    writer.write((GET + b"\r\n") * 3)
    for _ in range(3):
        await reader.readuntil(b'{"status":"alive"}')
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3 * Hasty.head_timeout_s):
            await asyncio.gather(watching.read(), reader.read())
    writer.write(GET + b"\r\n")

    await reader.readuntil(b'{"status":"alive"}')
    assert not watching.at_eof()


async def test_a_client_that_sends_requests_but_reads_no_responses_is_disconnected(connect):
    reader, writer = await connect()
    before = Process().memory_info().rss
    sending = asyncio.create_task(send_endlessly(writer, (GET + b"\r\n") * 1_000))
    try:
        async with asyncio.timeout(10):
            while await reader.read(100_000):
                pass
    except ConnectionError:
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    assert Process().memory_info().rss - before < 50_000_000


async def test_pipelined_requests_are_answered_in_order(connect):
    reader, writer = await connect()
    writer.write((GET + b"\r\n") * 5)

    async with asyncio.timeout(10):
        for _ in range(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b'{"status":"alive"}')


async def test_a_body_sent_after_its_response_gets_no_extra_time(connect):
    reader, writer = await connect()
    writer.write(GET + b"Content-Length: 100000\r\n\r\n")
    await reader.readuntil(b'{"status":"alive"}')
    dripping = asyncio.create_task(send_slowly(writer, b"x"))
    try:
        async with asyncio.timeout(10):  # uvicorn itself would wait for ever
            with contextlib.suppress(ConnectionError):
                while await reader.read(100):
                    pass
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)

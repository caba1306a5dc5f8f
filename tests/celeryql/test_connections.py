"""A lost connection is replaced before it is used, on each event loop."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from celeryql.connections import Pool
from tests.proxy import Link, Proxy
from tests.tls import Authority, tls_front

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=["redis", "rediss"])
def address(request, redis_url, tmp_path):
    if request.param == "redis":
        yield redis_url
        return
    authority, redis = Authority(tmp_path), urlsplit(redis_url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", "127.0.0.1"))
    with tls_front("127.0.0.1", context, redis.port) as front:
        netloc = f":{redis.password}@127.0.0.1:{front.port}"
        yield f"rediss://{netloc}/0?ssl_ca_certs={authority.certificate}"


def client(url: str, timeout_s: float = 10.0) -> Redis:
    """Return a client that never retries."""
    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    options = timeouts | {"retry": Retry(NoBackoff(), 0), "protocol": 2}
    return Redis.from_pool(Pool.from_url(url, **options))


def run(loop_factory, main):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main)


async def pings(redis: Redis, count: int = 5):
    """Send pings at the same time, over one connection each."""
    return await asyncio.gather(*[redis.ping() for _ in range(count)], return_exceptions=True)


async def wait_until_lost(connections):
    """Wait until the event loop has seen the loss of each connection."""
    async with asyncio.timeout(10):
        while not all(  # noqa: ASYNC110  # a stream has no event for it
            c._writer.is_closing() or c._reader.at_eof() or c._reader.exception()
            for c in connections
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("lose", [Link.reset, Link.finish, Link.half_close])
def test_a_connection_lost_while_idle_costs_no_request(address, loop, lose):
    async def main():
        with Proxy(address) as proxy:
            async with client(proxy.url) as redis:
                before = await pings(redis)
                proxy.each(lose)
                await wait_until_lost(redis.connection_pool._available_connections)
                return before + await pings(redis)

    assert run(loop, main()) == [True] * 10


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_lost_while_in_use_raises_a_connection_error(address, loop):
    async def main():
        with Proxy(address) as proxy:
            async with client(proxy.url) as redis:
                connection = await redis.connection_pool.get_connection()
                proxy.each(Link.reset)
                await wait_until_lost([connection])
                with pytest.raises(ConnectionError):
                    await connection._send_packed_command([b"PING"])
                with pytest.raises(ConnectionError):
                    await connection.can_read()
                await redis.connection_pool.release(connection)
                return await redis.ping()

    assert run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_only_one_request_waits_if_all_connections_are_silent(address, loop):
    async def main():
        with Proxy(address) as proxy:
            async with client(proxy.url, 0.8) as redis:
                await pings(redis)
                proxy.each(Link.swallow)
                (first,) = await pings(redis, 1)
                return first, await pings(redis)

    first, others = run(loop, main())
    assert "Timeout" in str(first)
    assert others == [True] * 5

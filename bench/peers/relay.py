"""A raw relay in Starlette, which passes the messages of Redis channels to WebSockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

_sockets: dict[str, WebSocket] = {}


async def _read() -> None:
    redis: Redis = Redis.from_url(os.environ["PEER_REDIS_URL"], decode_responses=True)
    async with redis, redis.pubsub() as channels:
        await channels.psubscribe("relay:*")
        async for message in channels.listen():
            if message["type"] == "pmessage" and (socket := _sockets.get(message["channel"])):
                await socket.send_text(message["data"])


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    reading = asyncio.create_task(_read())
    yield
    reading.cancel()


async def _relay(socket: WebSocket) -> None:
    await socket.accept()
    name = f"relay:{socket.path_params['name']}"
    _sockets[name] = socket
    try:
        await socket.receive()
    except WebSocketDisconnect:
        pass
    finally:
        del _sockets[name]


app = Starlette(routes=[WebSocketRoute("/{name}", _relay)], lifespan=_lifespan)

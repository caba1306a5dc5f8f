"""A stopping API process answers pending requests and closes sockets, so clients reconnect."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from uuid import uuid4

import httpx
import pytest
from redis import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from graphql_api.local.redis_server import private_redis
from tests.processes import running_api_process

pytestmark = pytest.mark.slow

SOCKETS = 20
ENQUEUE = (
    "mutation($key: String) { enqueueAdd(input: {x: 1, y: 2}, options: {idempotencyKey: $key})"
    " { ... on EnqueueAddSuccess { task { id } } } }"
)
WATCH = "subscription { tasks { task { id } } }"


async def watch(url, watching):
    """Subscribe, and return the code with which the socket is closed."""
    url = url.replace("http", "ws", 1) + "/graphql"
    async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        await socket.recv()
        payload = {"query": WATCH}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        watching.release()
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code


async def enqueue(url, stopped, answered):
    """Enqueue until the server stops, and return the key of the request without a response."""
    async with httpx.AsyncClient(base_url=url) as http:
        while not stopped.is_set():
            key = str(uuid4())
            body = {"query": ENQUEUE, "variables": {"key": key}}
            try:
                answer = await http.post("/graphql", json=body)
            except httpx.HTTPError:
                return key
            assert answer.json()["data"]["enqueueAdd"]["task"]["id"]
            answered.put_nowait(key)
    return None


def is_accepted(redis, key):
    return redis.exists(f"celeryql:idempotency:9:anonymous:{key}") == 1


async def test_a_stopping_api_drains_within_five_seconds(tmp_path):
    with private_redis(tmp_path / "redis") as redis_url:
        log = tmp_path / "api.log"
        with running_api_process({"REDIS_URL": redis_url}, log) as (url, process):
            watching, answered = asyncio.Semaphore(0), asyncio.Queue()
            stopped = asyncio.Event()
            sockets = [asyncio.create_task(watch(url, watching)) for _ in range(SOCKETS)]
            for _ in sockets:
                await watching.acquire()
            senders = [asyncio.create_task(enqueue(url, stopped, answered)) for _ in range(4)]
            keys = [await answered.get() for _ in range(20)]

            began = time.monotonic()
            stopped.set()
            process.terminate()
            code = await asyncio.to_thread(process.wait, 10)
            took_s = time.monotonic() - began
            closed_with = await asyncio.gather(*sockets)
            unanswered = filter(None, await asyncio.gather(*senders))
            with Redis.from_url(redis_url) as redis:
                done = [key for key in (*keys, *unanswered) if is_accepted(redis, key)]

    assert code in (0, -signal.SIGTERM)  # uvicorn ends with the signal after its shutdown
    assert took_s < 5
    assert closed_with == [1012] * SOCKETS
    assert done == keys  # and no request that the process had not read before the signal
    assert "Traceback" not in log.read_text()

"""Strawberry as in its documentation: a mutation that calls `.delay()`, and a subscription.

One reader of a Redis channel passes messages to a queue for each subscriber. There is no snapshot,
no cursor, no resumption after a reconnect, and no access check.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import strawberry
from fastapi import FastAPI
from redis.asyncio import Redis
from strawberry.fastapi import GraphQLRouter

from bench.peers.stock import add

CHANNEL = "changes"

_subscribers: set[asyncio.Queue[str]] = set()


@strawberry.type
class Task:
    """The task that the mutation and the subscription return."""

    id: strawberry.ID
    state: str
    version: int = 1


@strawberry.type
class Event:
    """A change of a task."""

    task: Task


@strawberry.type
class Query:
    """The query type, which GraphQL requires."""

    alive: bool = True


@strawberry.type
class Mutation:
    """Enqueues a task."""

    @strawberry.mutation
    async def add(self, x: float, y: float) -> Task:
        """Enqueue in a thread, because `.delay()` blocks."""
        sent = await asyncio.to_thread(add.delay, x, y)
        return Task(id=strawberry.ID(sent.id), state="PENDING")


@strawberry.type
class Subscription:
    """Watches all changes."""

    @strawberry.subscription
    async def tasks(self) -> AsyncGenerator[Event, None]:
        """Yield each change from now on."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        _subscribers.add(queue)
        try:
            while True:
                yield Event(task=Task(**json.loads(await queue.get())))
        finally:
            _subscribers.discard(queue)


async def _read() -> None:
    redis: Redis = Redis.from_url(os.environ["PEER_REDIS_URL"], decode_responses=True)
    async with redis, redis.pubsub() as channel:
        await channel.subscribe(CHANNEL)
        async for message in channel.listen():
            if message["type"] == "message":
                for queue in _subscribers:
                    queue.put_nowait(message["data"])


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    reading = asyncio.create_task(_read())
    yield
    reading.cancel()


app = FastAPI(lifespan=_lifespan)
app.include_router(
    GraphQLRouter(strawberry.Schema(Query, Mutation, Subscription)), prefix="/graphql"
)

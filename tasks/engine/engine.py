"""What an API process has of the engine: its connections, and the parts that use them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tasks.engine.celery_app import app
from tasks.engine.errors import OUTAGES
from tasks.engine.events import Feed
from tasks.engine.settings import Settings
from tasks.engine.store import Store
from tasks.engine.submit import Submitter
from tasks.engine.topology import Topology
from tasks.engine.typed import TaskDefinition

_READY_TIMEOUT_S = 0.8  # an orchestrator waits one second for the answer


class Engine:
    """The engine's parts for one API process, opened and closed by the app's lifespan."""

    def __init__(self, settings: Settings, definitions: Mapping[str, TaskDefinition]) -> None:
        self.settings = settings
        self.definitions = definitions
        # Answers come within a second or not at all; nothing is sent twice behind our back.
        once = Retry(NoBackoff(), 0)
        self.redis: Redis = Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=1.0,
            socket_connect_timeout=0.5,
            retry=once,
            client_name="celeryql-api",
        )
        self._feed_redis: Redis = Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=10.0,  # above the time that one XREAD waits
            socket_connect_timeout=0.5,
            socket_keepalive=True,
            retry=once,
            client_name="celeryql-feed",
        )
        self.store = Store(self.redis)
        self.submitter = Submitter(app, self.redis, settings)
        self.topology = Topology(self.redis)
        self.feed = Feed(self._feed_redis, self.store)
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self.feed.run(), name="event feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reader:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        await self.redis.aclose()
        await self._feed_redis.aclose()

    async def is_ready(self) -> bool:
        """Tell, within a second, whether Redis answers."""
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                await self.redis.ping()
        except OUTAGES:
            return False
        return True

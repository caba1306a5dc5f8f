"""The engine's parts in an API process, and their connections to Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Self

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff

from celeryql.connections import Pool
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import REDIS_DOES_NOT_ANSWER
from celeryql.outages import OUTAGES
from celeryql.settings import Settings
from celeryql.state.json_documents import JsonDocumentReader
from celeryql.state.store import Store
from celeryql.submission.control import Control
from celeryql.submission.submitter import Submitter
from celeryql.watching.cluster_poller import ClusterPoller
from celeryql.watching.event_reader import EventReader
from celeryql.watching.event_stream import EventStream
from celeryql.watching.queues_and_workers import ClusterReader
from celeryql.watching.record_cache import RecordCache
from celeryql.worker.sweep import AsyncSweeper

_CONNECT_TIMEOUT_S = 0.5
_REQUEST_TIMEOUT_S = 1.0  # while a client waits for the response
# In background tasks: longer than an XREAD blocks, and short enough that they recover within five
# seconds of a connection that died silently.
_BACKGROUND_TIMEOUT_S = 3.0
_RETRY_FOREVER = 1_000_000  # a subscriber may wait as long as it likes
# redis-py 8.1 swallows a cancellation that arrives while it connects, so cancel again after this.
_CANCEL_AGAIN_S = 1.0
_READY_TIMEOUT_S = 0.8  # an orchestrator waits one second for the answer
_POLL_S = 0.02


class Engine:
    """The engine's parts for one API process, opened and closed by the app's lifespan."""

    def __init__(
        self,
        settings: Settings,
        definitions: Mapping[str, TaskDefinition],
        queues: Sequence[str],
    ) -> None:
        self.settings = settings
        self.definitions = definitions
        self.queues = queues
        self._clients: list[Redis] = []
        retry_lost = Retry(NoBackoff(), 2, (exceptions.ConnectionError,))
        retry_never = Retry(NoBackoff(), 0)
        retry_forever = Retry(ExponentialBackoff(1.0, 0.05), _RETRY_FOREVER)
        self.redis = self._client("read", _REQUEST_TIMEOUT_S, retry_lost)
        self.store = Store(self.redis)
        self.documents = JsonDocumentReader(self.redis)
        self.cluster_reader = ClusterReader(self.redis, self.store)
        self.cluster_poller = ClusterPoller(self.cluster_reader, queues)
        # redis-py must not repeat a write that may have arrived.
        writer = self._client("accept", _REQUEST_TIMEOUT_S, retry_never)
        self.submitter = Submitter(writer, settings)
        self.control = Control(writer, settings, self.store, self.submitter, definitions)
        patient_store = Store(self._client("watch", _BACKGROUND_TIMEOUT_S, retry_forever))
        record_cache = RecordCache(patient_store)
        reader = self._client("events", _BACKGROUND_TIMEOUT_S, retry_never)
        self.event_reader = EventReader(reader, record_cache)
        self.event_stream = EventStream(self.event_reader, patient_store, record_cache)
        sweeping = self._client("sweep", _BACKGROUND_TIMEOUT_S, retry_never)
        self._sweeper = AsyncSweeper(sweeping, settings)
        self._background: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._background = [
            asyncio.create_task(self.event_reader.run(), name="event reader"),
            asyncio.create_task(self._sweeper.run(), name="sweep"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        # First, because a background task would open a connection that nothing closes.
        await _end({*self._background, *self.cluster_poller.tasks})
        self.documents.close()
        for client in self._clients:
            await client.aclose()

    def _client(self, name: str, timeout_s: float, retry: Retry) -> Redis:
        pool = Pool.from_url(
            self.settings.redis_url,
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_keepalive=True,
            retry=retry,
            client_name=f"celeryql-{name}",
            # With RESP3, redis-py 8.1 expects maintenance notices and hands out pooled connections
            # that the server has closed: the first request after a restart would fail.
            protocol=2,
        )
        client: Redis = Redis.from_pool(pool)
        self._clients.append(client)
        return client

    async def find_problem(self) -> str | None:
        """Return within a second what keeps this process from working; None if nothing does."""
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                await self.redis.ping()
                # A background task that failed in an outage retries within this time.
                while (problem := self._failing()) == REDIS_DOES_NOT_ANSWER:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except OUTAGES:
            return REDIS_DOES_NOT_ANSWER
        return problem

    def _failing(self) -> str | None:
        """Return what keeps the background tasks from working."""
        return (
            self.event_reader.job.problem
            or self._sweeper.job.problem
            or self.cluster_poller.problem
        )


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        if not task.cancelling():  # another cancellation would keep it from returning a connection
            task.cancel()
    while tasks := (await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S))[1]:
        for task in tasks:
            task.cancel()

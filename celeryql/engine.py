"""What an API process has of the engine: its connections, and the parts that use them."""

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
_NO_END = 1_000_000  # tries; a subscriber waits as long as it likes
# redis-py 8.1 swallows a cancellation that arrives while it connects; then it is tried again.
_SWALLOWED_AFTER_S = 1.0
# For an answer, where nobody waits for what was asked: above the time that one XREAD waits, and so
# short that all goes on within five seconds after connections went dead without a word.
_PATIENCE_S = 3.0
_READY_TIMEOUT_S = 0.8  # an orchestrator waits one second for the answer
_LOOK_AGAIN_S = 0.02


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
        self.redis = self._client("read", 1.0, Retry(NoBackoff(), 2, (exceptions.ConnectionError,)))
        self.store = Store(self.redis)
        self.documents = JsonDocumentReader(self.redis)
        self.cluster_reader = ClusterReader(self.redis, self.store)
        self.cluster_poller = ClusterPoller(self.cluster_reader, queues)
        # What is accepted is never sent twice behind our back.
        writer = self._client("accept", 1.0, Retry(NoBackoff(), 0))
        self.submitter = Submitter(writer, settings)
        self.control = Control(writer, settings, self.store, self.submitter, definitions)
        patient = self._client("watch", _PATIENCE_S, Retry(ExponentialBackoff(1.0, 0.05), _NO_END))
        reader = self._client("feed", _PATIENCE_S, Retry(NoBackoff(), 0))
        watchers_store = Store(patient)
        record_cache = RecordCache(watchers_store)
        self.event_reader = EventReader(reader, record_cache)
        self.event_stream = EventStream(self.event_reader, watchers_store, record_cache)
        sweeping_client = self._client("sweep", _PATIENCE_S, Retry(NoBackoff(), 0))
        self._sweeper = AsyncSweeper(sweeping_client, settings)
        self._background: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._background = [
            asyncio.create_task(self.event_reader.run(), name="event feed"),
            asyncio.create_task(self._sweeper.run(), name="sweep"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        # What still reads would open a connection that nobody closes.
        await _end({*self._background, *self.cluster_poller.pollers})
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
            # With RESP3 redis-py 8.1 expects maintenance notices, and so hands out a pooled
            # connection that the server has closed: the first request after a restart would fail.
            protocol=2,
        )
        client: Redis = Redis.from_pool(pool)
        self._clients.append(client)
        return client

    async def problem(self) -> str | None:
        """Say, within a second, what keeps this process from its work; None if nothing does."""
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                await self.redis.ping()
                # What failed in an outage is attempted again within this time.
                while (problem := self._failing()) == REDIS_DOES_NOT_ANSWER:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except OUTAGES:
            return REDIS_DOES_NOT_ANSWER
        return problem

    def _failing(self) -> str | None:
        """What keeps the background tasks from their work."""
        return (
            self.event_reader.job.problem
            or self._sweeper.job.problem
            or self.cluster_poller.problem
        )


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        if not task.cancelling():  # a second time would interrupt its handing back of a connection
            task.cancel()
    while tasks := (await asyncio.wait(tasks, timeout=_SWALLOWED_AFTER_S))[1]:
        for task in tasks:
            task.cancel()

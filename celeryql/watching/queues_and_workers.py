"""Queues and workers as they are: queues from the broker's keys, workers from their heartbeats.

Any Celery program may write to those keys, so what cannot be read there is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Json
from redis.asyncio import Redis
from redis.client import NEVER_DECODE

from celeryql.broker.captured_messages import PRIORITY_STEPS, queue_list
from celeryql.records import KEY, TaskId, cursor_position
from celeryql.state.store import Store
from celeryql.worker.health import find_problem

_RAW = {NEVER_DECODE: True}  # a message of another program need not be UTF-8
_UNREADABLE = (ValueError, TypeError, KeyError, RecursionError)  # what JSON of others leads to


@dataclass(frozen=True)
class QueueStatus:
    """One queue: `depth` waits in the broker, `unacked` is held by workers."""

    name: str
    depth: int
    unacked: int
    oldest_waiting_s: float | None


class WorkerStatus(BaseModel):
    """One worker as it described itself at its last heartbeat."""

    model_config = ConfigDict(frozen=True)

    name: str
    online: bool
    seen_at: datetime
    pool: str
    concurrency: int
    queues: Json[tuple[str, ...]]
    active: Json[tuple[TaskId, ...]]
    processed: int
    rss_bytes: float


class ClusterReader:
    """Reads of queues and workers."""

    def __init__(self, redis: Redis, store: Store) -> None:
        self._redis, self._store = redis, store
        self._undated: dict[str, tuple[int, float]] = {}  # by list: a message, when first seen

    async def now(self) -> datetime:
        """Read the time that all others are to be compared with."""
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)

    async def queues(self, names: Iterable[str]) -> list[QueueStatus]:
        """Look at queues, in the order of the names, in three round trips."""
        names = list(names)
        held = await self._held()
        lists = [queue_list(name, step) for name in set(names) for step in PRIORITY_STEPS]
        async with self._redis.pipeline(transaction=False) as pipe:
            for list_ in lists:
                pipe.llen(list_)
                pipe.execute_command("LINDEX", list_, -1, **_RAW)
            pipe.time()
            *answers, (now_s, _) = await pipe.execute()
        depths = dict(zip(lists, answers[::2], strict=True))
        ages_s = await self._ages_s(dict(zip(lists, answers[1::2], strict=True)), now_s)
        found = []
        for name in names:
            part = [queue_list(name, step) for step in PRIORITY_STEPS]
            oldest_s = max((ages_s[list_] for list_ in part if list_ in ages_s), default=None)
            depth = sum(depths[list_] for list_ in part)
            found.append(QueueStatus(name, depth, held.get(name, 0), oldest_s))
        return found

    async def workers(self) -> list[WorkerStatus]:
        """List the workers seen within the last hour, by name."""
        names: Any = sorted(await self._redis.zrange(f"{KEY}workers", 0, -1))
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(f"{KEY}worker:{name}")
            pipe.time()
            *hashes, (now_s, _) = await pipe.execute()
        found = []
        for name, fields in zip(names, hashes, strict=True):
            with suppress(*_UNREADABLE):  # no worker of ours, or of another release
                online = find_problem(fields, now_s) is None
                found.append(WorkerStatus.model_validate(fields | {"name": name, "online": online}))
        return found

    async def _held(self) -> dict[str, int]:
        # `unacked` holds what workers have taken: their concurrency and prefetch bound it.
        counts: dict[str, int] = {}
        for text in await self._redis.execute_command("HVALS", "unacked", **_RAW):
            with suppress(*_UNREADABLE):
                _, _, queue = json.loads(text)
                counts[queue] = counts.get(queue, 0) + 1
        return counts

    async def _ages_s(self, oldest: dict[str, bytes | None], now_s: float) -> dict[str, float]:
        """Tell for how long the oldest message of each list that has one has been waiting.

        A plain Celery caller's says nowhere when it was sent: it has waited for at least as long as
        this process has seen it.
        """
        waiting = {list_: text for list_, text in oldest.items() if text is not None}
        ids = {list_: id_ for list_, text in waiting.items() if (id_ := _task_id(text))}
        records = {r.id: r for r in await self._store.get_existing(set(ids.values()))}
        ages_s = {}
        for list_, text in waiting.items():
            if record := records.get(TaskId(ids.get(list_, ""))):
                since_s = (
                    cursor_position(record.cursor)[0] / 1_000
                )  # of its last event: it was queued
            else:
                message, since_s = self._undated.get(list_, (0, now_s))
                since_s = since_s if message == hash(text) else now_s
                self._undated[list_] = (hash(text), since_s)
            ages_s[list_] = max(0.0, now_s - since_s)
        return ages_s


def _task_id(message: bytes) -> str | None:
    try:
        id_ = json.loads(message)["headers"]["id"]
    except _UNREADABLE:
        return None
    return id_ if isinstance(id_, str) else None

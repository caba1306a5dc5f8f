"""Reads queues from the broker's keys, and workers from their heartbeats.

Any Celery program may write to those keys, so entries that cannot be read are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from pydantic import BaseModel, ConfigDict, Json
from redis.asyncio import Redis
from redis.client import NEVER_DECODE

from celeryql.broker.priorities import PRIORITY_STEPS, queue_list
from celeryql.records import KEY, TaskId, cursor_position
from celeryql.state.store import Store
from celeryql.worker.health import find_problem

_RAW = {NEVER_DECODE: True}  # messages of other programs are not always UTF-8
_UNREADABLE = (ValueError, TypeError, KeyError, RecursionError)  # raised for foreign JSON


@dataclass(frozen=True)
class QueueStatus:
    """One queue: `depth` messages wait in the broker, workers hold `unacked` more."""

    name: str
    depth: int
    unacked: int
    oldest_waiting_s: float | None


class WorkerStatus(BaseModel):
    """One worker as its last heartbeat describes it."""

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
    """Reads the current state of queues and workers."""

    def __init__(self, redis: Redis, store: Store) -> None:
        self._redis, self._store = redis, store
        # By queue list: hash of an oldest message without a record, and when it was first seen.
        self._first_seen: dict[str, tuple[int, float]] = {}

    async def read_time(self) -> datetime:
        """Read the clock of Redis, which sets all times of records and heartbeats."""
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)

    async def read_queues(self, names: Iterable[str]) -> list[QueueStatus]:
        """Read queues, in the order of the names, in three round trips."""
        names = list(names)
        lists = {name: [queue_list(name, step) for step in PRIORITY_STEPS] for name in names}
        unacked = await self._count_unacked()
        depths, oldest, now_s = await self._read_lists(chain.from_iterable(lists.values()))
        ages_s = await self._ages_s(oldest, now_s)
        return [
            QueueStatus(
                name,
                depth=sum(depths[list_] for list_ in lists[name]),
                unacked=unacked.get(name, 0),
                oldest_waiting_s=max(
                    (ages_s[list_] for list_ in lists[name] if list_ in ages_s), default=None
                ),
            )
            for name in names
        ]

    async def read_workers(self) -> list[WorkerStatus]:
        """Read the workers that were seen within the last hour, sorted by name."""
        names: Any = sorted(await self._redis.zrange(f"{KEY}workers", 0, -1))
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(f"{KEY}worker:{name}")
            pipe.time()
            *heartbeats, (now_s, _) = await pipe.execute()
        found = []
        for name, fields in zip(names, heartbeats, strict=True):
            with suppress(*_UNREADABLE):  # of another program or another release
                online = find_problem(fields, now_s) is None
                found.append(WorkerStatus.model_validate(fields | {"name": name, "online": online}))
        return found

    async def _count_unacked(self) -> dict[str, int]:
        """Count by queue the messages that workers hold; concurrency and prefetch bound them."""
        counts: dict[str, int] = {}
        for text in await self._redis.execute_command("HVALS", "unacked", **_RAW):
            with suppress(*_UNREADABLE):
                _, _, queue = json.loads(text)
                counts[queue] = counts.get(queue, 0) + 1
        return counts

    async def _read_lists(
        self, lists: Iterable[str]
    ) -> tuple[dict[str, int], dict[str, bytes | None], float]:
        """Read the length and the oldest message of each queue list, and the time."""
        lists = list(lists)
        async with self._redis.pipeline(transaction=False) as pipe:
            for list_ in lists:
                pipe.llen(list_)
                pipe.execute_command("LINDEX", list_, -1, **_RAW)
            pipe.time()
            *answers, (now_s, _) = await pipe.execute()
        depths = dict(zip(lists, answers[::2], strict=True))
        return depths, dict(zip(lists, answers[1::2], strict=True)), now_s

    async def _ages_s(self, oldest: dict[str, bytes | None], now_s: float) -> dict[str, float]:
        """Return for how long the oldest message of each list has waited, except empty lists.

        The message of a plain Celery caller does not contain the time at which it was sent. Its age
        is counted from when this process first saw it.
        """
        waiting = {list_: text for list_, text in oldest.items() if text is not None}
        ids = {list_: id_ for list_, text in waiting.items() if (id_ := _task_id(text))}
        records = {r.id: r for r in await self._store.get_existing(set(ids.values()))}
        ages_s = {}
        for list_, text in waiting.items():
            if record := records.get(TaskId(ids.get(list_, ""))):
                # The last event of a waiting task is the one that queued it.
                since_s = cursor_position(record.cursor)[0] / 1_000
            else:
                message, since_s = self._first_seen.get(list_, (0, now_s))
                since_s = since_s if message == hash(text) else now_s
                self._first_seen[list_] = (hash(text), since_s)
            ages_s[list_] = max(0.0, now_s - since_s)
        return ages_s


def _task_id(message: bytes) -> str | None:
    try:
        id_ = json.loads(message)["headers"]["id"]
    except _UNREADABLE:
        return None
    return id_ if isinstance(id_, str) else None

"""Queues and workers as they are: queues from the broker's keys, workers from their heartbeats."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Json
from redis.asyncio import Redis

from tasks.engine.records import HEARTBEAT_S, KEY, TaskId
from tasks.engine.store import Store
from tasks.engine.transport import PRIORITY_STEPS, queue_list

_OFFLINE_AFTER_S = 5 * HEARTBEAT_S  # two lost beats and a slow one are no death


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


class Topology:
    """Reads of queues and workers."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def queues(self, names: Iterable[str]) -> list[QueueStatus]:
        """Look at queues, in the order of the names, in two round trips."""
        names = list(names)
        held = await self._held()
        unique = dict.fromkeys(names)
        lists = [queue_list(name, step) for name in unique for step in PRIORITY_STEPS]
        async with self._redis.pipeline(transaction=False) as pipe:
            for list_ in lists:
                pipe.llen(list_)
                pipe.lindex(list_, -1)
            pipe.time()
            *answers, (seconds, _) = await pipe.execute()
        created = await self._created([text for text in answers[1::2] if text])
        per_queue = 2 * len(PRIORITY_STEPS)
        found = {}
        for i, name in enumerate(unique):
            part = answers[i * per_queue : (i + 1) * per_queue]
            ages = [seconds - created[text] for text in part[1::2] if text in created]
            oldest_s = max(0.0, *ages) if ages else None
            found[name] = QueueStatus(name, sum(part[::2]), held.get(name, 0), oldest_s)
        return [found[name] for name in names]

    async def workers(self) -> list[WorkerStatus]:
        """List the workers seen within the last hour, by name."""
        now_s = (await self._redis.time())[0]
        names: Any = await self._redis.zrange(f"{KEY}workers", 0, -1)
        found = []
        for name in sorted(names):
            fields = await self._redis.hgetall(f"{KEY}worker:{name}")
            if not fields:
                continue
            silent_s = now_s - int(fields["seen_at"]) / 1_000
            online = fields["online"] == "1" and silent_s < _OFFLINE_AFTER_S
            found.append(WorkerStatus.model_validate(fields | {"name": name, "online": online}))
        return found

    async def _held(self) -> dict[str, int]:
        # `unacked` holds what workers have taken: their concurrency and prefetch bound it.
        counts: dict[str, int] = {}
        for text in await self._redis.hvals("unacked"):
            _, _, queue = json.loads(text)
            counts[queue] = counts.get(queue, 0) + 1
        return counts

    async def _created(self, messages: list[str]) -> dict[str, float]:
        """Tell when the tasks of messages were accepted, in seconds since 1970."""
        ids = [json.loads(text)["headers"]["id"] for text in messages]
        records = await Store(self._redis).get_many(ids) if ids else []
        pairs = zip(messages, records, strict=True)
        return {text: record.created_at.timestamp() for text, record in pairs if record}

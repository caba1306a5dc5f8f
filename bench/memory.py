"""Measure the Redis memory that a finished task with an input of 100 bytes occupies, in kB.

The stream of all events does not count, because `EVENTS_KEPT` bounds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from redis import Redis

from bench.operations import enqueue
from bench.rows import Row
from bench.stage import Stage
from tests.processes import wait_until

_TASKS = 5_000
_INPUT = "x" * 100


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Measure the growth of Redis; there is no peer."""
    items: list[dict[str, object]] = [{"task": {"echo": {"message": _INPUT}}}]
    with stage.redis() as redis, stage.api() as api, stage.worker():
        await _run(redis, api.url, items)  # creates the keys that do not depend on tasks
        count, before = stage.times(_TASKS), await _memory(redis)
        await _run(redis, api.url, items * count)
        kb = (await _memory(redis) - before) / count / 1_000
    yield Row("Redis memory of a finished task", "", kb, None, "kB", 2.5)


async def _memory(redis: Redis) -> int:
    await asyncio.sleep(1)
    of_all = int(redis.info("memory")["used_memory_dataset"])
    return of_all - int(redis.memory_usage("celeryql:events", samples=0) or 0)


async def _run(redis: Redis, url: str, items: list[dict[str, object]]) -> None:
    ids = await enqueue(url, items)
    metas = [f"celery-task-meta-{id_}" for id_ in ids]
    wait_until(lambda: redis.exists(*metas) == len(metas), "all ended", deadline_s=300)
    wait_until(lambda: not redis.exists("unacked"), "all acknowledged")

"""Measure how the cost of operations grows with the number of finished tasks in Redis.

Costs are CPU microseconds of Redis and the calling process together. The side with very many tasks
is compared with one that has 1,000; each has its own Redis and API. Kept tasks are copies of one
finished task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from bench.driver_client import DriverClient, running_driver
from bench.http import post_all
from bench.measure import alternate, cpu_us_each
from bench.operations import ADD, adds, enqueue
from bench.rows import Row
from bench.stage import Server, Stage
from graphql_api.local.redis_server import private_redis

_FEW = 1_000
_OPERATIONS = 500
_AT_ONCE = 10_000  # copies made by one script call
_TASK = "query($id: ID!) { task(id: $id) { id state version finishedAt } }"
_PAGE = "{ tasks(first: 20) { edges { node { id state } } } }"
_COPY = """
local of, from, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local listings = {'celeryql:tasks', 'celeryql:tasks:anonymous'}
local score = tonumber(redis.call('ZSCORE', listings[1], of))
for i = from, from + count - 1 do
  local id = string.format('00000000-0000-4000-8000-%012d', i)
  for _, kind in ipairs({'celeryql:task:', 'celeryql:input:', 'celeryql:events:',
                         'celery-task-meta-'}) do
    redis.call('COPY', kind .. of, kind .. id)
  end
  redis.call('HSET', 'celeryql:task:' .. id, 'root', id)
  for _, listing in ipairs(listings) do
    redis.call('ZADD', listing, string.format('%.0f', score - i), id)
  end
end
"""


@dataclass(frozen=True)
class Side:
    """One installation with a given number of kept tasks."""

    stage: Stage
    api: Server
    driver: DriverClient
    id: str

    async def operate(self, body: object, count: int) -> float:
        """Return the CPU microseconds of a GraphQL operation over HTTP."""
        run = partial(post_all, self.api.url, "/graphql", [body] * count)
        return await cpu_us_each(count, run, self.api.pid, self.stage.redis_pid)

    async def restore(self, count: int) -> float:
        """Return the CPU microseconds of one restore pass."""
        run = partial(self.driver.call, "restore", count)
        return await cpu_us_each(count, run, self.driver.process.pid, self.stage.redis_pid)


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with CeleryQL itself with few kept tasks."""
    count, name = stage.times(_OPERATIONS), f"{stage.records:,} kept"
    async with AsyncExitStack() as held:
        url = held.enter_context(private_redis(stage.folder / "few"))
        few = await _side(replace(stage, redis_url=url), _FEW, held)
        many = await _side(stage, stage.records, held)
        for what, run in _operations(count).items():
            us = await alternate(stage.rounds, ours=partial(run, many), theirs=partial(run, few))
            peer = f"{_FEW:,} kept"
            yield Row(f"{what}, {name}", peer, us["ours"], us["theirs"], "us CPU", 1.1)


def _operations(count: int) -> dict[str, Callable[[Side], Awaitable[float]]]:
    def query(document: str) -> Callable[[Side], Awaitable[float]]:
        return lambda side: side.operate(
            {"query": document, "variables": {"id": side.id, "x": 1}}, count
        )

    return {
        "enqueue": query(ADD),
        "`task`": query(_TASK),
        "a page of `tasks`": query(_PAGE),
        "a worker's restore pass": lambda side: side.restore(10 * count),
    }


async def _side(stage: Stage, records: int, held: AsyncExitStack) -> Side:
    api = held.enter_context(stage.api())
    driver = await held.enter_async_context(running_driver(stage, "ours"))
    (id_,) = await enqueue(api.url, adds(1))
    await driver.call("finish", [id_])
    with stage.redis() as redis:
        redis.config_set("appendonly", "no")
        for i in range(0, records, _AT_ONCE):
            redis.eval(_COPY, 0, id_, i, min(_AT_ONCE, records - i))
    return Side(stage, api, driver, id_)

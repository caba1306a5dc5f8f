"""Measure tasks per second (wall clock), from the first mutation to the last final event.

Each side has one worker with two processes. Ours sends single mutations over eight connections and
watches all tasks with one subscription; the peer calls `send_task` and waits for the results.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from celery import Celery

from bench.http import post_all
from bench.measure import alternate, seconds
from bench.operations import ADD
from bench.rows import Row
from bench.stage import Stage
from bench.watching import Socket, sockets

_TASKS = 1_000
_WATCH_SUCCEEDED = "subscription { tasks(filter: {states: [SUCCEEDED]}) { task { id state } } }"


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with a stock worker and its caller."""
    count = stage.times(_TASKS)
    stock = Celery("caller", broker=stage.peer_redis_url, backend=stage.peer_redis_url)
    with stage.api() as api, stage.worker(), stage.stock_worker():
        async with sockets(api.url, 1) as (socket,):
            await socket.subscribe(_WATCH_SUCCEEDED, [{}])
            await socket.until_live()
            took = await alternate(
                stage.rounds,
                ours=partial(seconds, partial(_ours, api.url, socket, count)),
                theirs=partial(seconds, partial(asyncio.to_thread, _theirs, stock, count)),
            )
    ours, theirs = count / took["ours"], count / took["theirs"]
    yield Row("mutation to final event", "stock", ours, theirs, "tasks/s", 0.9, is_rate=True)
    stock.close()


async def _ours(url: str, socket: Socket, count: int) -> None:
    bodies = [{"query": ADD, "variables": {"x": x}} for x in range(count)]
    await asyncio.gather(post_all(url, "/graphql", bodies), socket.receive(count))


def _theirs(stock: Celery, count: int) -> None:
    results = [stock.send_task("add", (x, 2)) for x in range(count)]
    for result in results:
        result.get(timeout=60)

"""Measure the microseconds (wall clock) that a worker process takes to write a task's success.

Ours writes the result, the event, the record and the counts; the stock backend writes the result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

from bench.driver_client import running_driver
from bench.measure import alternate
from bench.operations import adds, enqueue
from bench.rows import Row
from bench.stage import Stage

_TASKS = 1_000


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with the stock backend, which writes results of made-up tasks."""
    count = stage.times(_TASKS)
    with stage.api() as api:
        async with running_driver(stage, "ours") as ours, running_driver(stage, "stock") as stock:

            async def finish_ours() -> float:
                ids = await enqueue(api.url, adds(count))
                return float(await ours.call("finish", ids))

            async def finish_stock() -> float:
                ids = [str(uuid4()) for _ in range(count)]
                return float(await stock.call("finish", ids))

            took = await alternate(stage.rounds, ours=finish_ours, theirs=finish_stock)
    us = {name: value / count * 1e6 for name, value in took.items()}
    yield Row("one state write in a worker", "stock backend", us["ours"], us["theirs"], "us", 0.5)

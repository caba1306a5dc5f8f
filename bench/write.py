"""Microseconds, on the clock, of the write of a task's success from a worker's process.

Ours writes result, event, record and counts; that of the stock backend writes the result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

from bench.driving import driving
from bench.measure import alternate
from bench.operations import adds, enqueue
from bench.rows import Row
from bench.stage import Stage

_TASKS = 1_000


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with the stock backend, which is asked to write of tasks that nobody knows."""
    count = stage.times(_TASKS)
    with stage.api() as api:
        async with driving(stage, "ours") as ours, driving(stage, "stock") as stock:

            async def finish_ours() -> float:
                ids = await enqueue(api.url, adds(count))
                return float(await ours.order("finish", ids))

            async def finish_stock() -> float:
                ids = [str(uuid4()) for _ in range(count)]
                return float(await stock.order("finish", ids))

            took = await alternate(stage.rounds, ours=finish_ours, theirs=finish_stock)
    us = {name: value / count * 1e6 for name, value in took.items()}
    yield Row("one state write in a worker", "stock backend", us["ours"], us["theirs"], "us", 0.5)

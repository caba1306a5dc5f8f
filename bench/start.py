"""What a process costs before it does anything: CPU until it is ready, and memory.

The API beside Strawberry as its documentation has it, our worker beside a stock one. CPU and not
the clock, because it is what a start is made of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from functools import partial

from bench.http import connected
from bench.measure import alternate, cpu_s, resident_bytes
from bench.rows import Row
from bench.stage import Server, Stage


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare start and memory."""
    naive = partial(stage.peer, "naive_graphql")
    memory: dict[str, float] = {}
    took = await alternate(
        stage.rounds,
        ours=partial(_start, stage.api, "ours", memory),
        theirs=partial(_start, naive, "theirs", memory),
    )
    peer = "naive Strawberry"
    yield Row("API, start to ready", peer, took["ours"], took["theirs"], "s CPU", 1.2)
    yield Row("API, resident memory", peer, memory["ours"], memory["theirs"], "MB", 1.2)
    with stage.worker():
        pass  # compiled: the compiler's memory would be told as the worker's
    with stage.worker() as ours, stage.stock_worker() as theirs:
        mb, peer_mb = (resident_bytes(pid) / 1e6 for pid in (ours, theirs))
    yield Row("worker, resident memory", "stock worker", mb, peer_mb, "MB", 1.2)


async def _start(
    run: Callable[[], AbstractContextManager[Server]], name: str, memory: dict[str, float]
) -> float:
    with run() as server:
        async with connected(server.url) as connection:
            await connection.query("{ __typename }")
        memory[name] = resident_bytes(server.pid) / 1e6
        return cpu_s(server.pid)

"""Measure the CPU time of processes until they are ready, and their memory.

Our API is compared with Strawberry as in its documentation, our worker with a stock one. A start
consists of CPU time almost alone, and CPU time varies less than the wall clock.
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
        pass  # compiles the bytecode, so that the compiler's memory is not measured
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

"""Measure the memory of each of 10,000 idle subscriptions, and the CPU of all of them.

They use 200 sockets of one API process, and each watches a different task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from bench.measure import cpu_s, resident_bytes
from bench.operations import WATCH_ONE, adds, enqueue
from bench.rows import Row
from bench.stage import Stage
from bench.watching import Socket, sockets

_SOCKETS, _ON_EACH = 200, 50
_IDLE_S = 10.0  # long enough for one keep-alive ping on each socket
_AT_ONCE = 5  # sockets that subscribe concurrently


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Measure the difference to the same process before; there is no peer."""
    count = stage.times(_SOCKETS)
    idle_s = max(1.0, _IDLE_S * stage.share)
    with stage.api() as api, stage.api() as other:
        ids = await enqueue(other.url, adds(count * _ON_EACH))
        await enqueue(api.url, adds(1_000))  # fills caches and completes lazy imports
        before, cpu_before = resident_bytes(api.pid), await _cpu_share(api.pid, idle_s)
        async with AsyncExitStack() as held:
            opened = await held.enter_async_context(sockets(api.url, count))
            for i in range(0, count, _AT_ONCE):
                part = enumerate(opened[i : i + _AT_ONCE], i)
                watched = [(s, ids[n * _ON_EACH : (n + 1) * _ON_EACH]) for n, s in part]
                await asyncio.gather(*(_subscribe(socket, own) for socket, own in watched))
            kb = (resident_bytes(api.pid) - before) / (count * _ON_EACH) / 1_000
            cpu = await _cpu_share(api.pid, idle_s) - cpu_before
    what = f"{count * _ON_EACH:,} idle subscriptions"
    yield Row(f"{what}, memory of each", "", kb, None, "kB", 20)
    yield Row(f"{what}, CPU of all", "", 100 * cpu, None, "% of a core", 2)


async def _subscribe(socket: Socket, ids: list[str]) -> None:
    await socket.subscribe(WATCH_ONE, [{"id": id_} for id_ in ids])
    await socket.receive(len(ids))  # the snapshots


async def _cpu_share(pid: int, time_s: float) -> float:
    before = cpu_s(pid)
    await asyncio.sleep(time_s)
    return (cpu_s(pid) - before) / time_s

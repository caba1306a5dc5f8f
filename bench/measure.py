"""Own the measuring: CPU time and memory of processes, and medians of alternating rounds."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import psutil

Round = Callable[[], Awaitable[float]]


def cpu_s(*pids: int) -> float:
    """Return the CPU seconds (user and system) of processes and their children."""
    total = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, OSError):
                total += _cpu_s(each)
    return total


def _cpu_s(process: psutil.Process) -> float:
    if sys.platform == "linux":
        # The CPU clock of another process (clock_getcpuclockid); /proc has a resolution of 10 ms.
        return time.clock_gettime(~process.pid << 3 | 2)
    times = process.cpu_times()
    return times.user + times.system


def resident_bytes(pid: int) -> int:
    """Return the memory of a process and its children; shared memory counts once (PSS)."""
    process = psutil.Process(pid)
    found = (process, *process.children(recursive=True))
    return sum(each.memory_full_info().pss for each in found)


async def cpu_us_each(count: int, run: Callable[[], Awaitable[object]], *pids: int) -> float:
    """Run `count` operations and return the CPU microseconds of one."""
    before = cpu_s(*pids)
    await run()
    return (cpu_s(*pids) - before) / count * 1e6


async def seconds(run: Callable[[], Awaitable[object]]) -> float:
    """Run a function and return the seconds it took on the wall clock."""
    began = time.perf_counter()
    await run()
    return time.perf_counter() - began


async def alternate(rounds: int, **sides: Round) -> Mapping[str, float]:
    """Measure the sides in alternating rounds, after a warm-up, and return each side's median."""
    for run in sides.values():
        await run()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            taken[name].append(await run())
    return {name: statistics.median(values) for name, values in taken.items()}

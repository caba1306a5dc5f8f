"""How long tasks wait and run, by definition.

The functions that write states count the durations in Redis, so every API process reports the same
figures for all workers together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from redis.asyncio import Redis

from celeryql.records import KEY

# In milliseconds; equal to those in `lua/modules/durations.lua`.
BOUNDS_MS = (
    *(5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000),
    *(1_800_000, 7_200_000),
)
_BUCKETS = (*map(str, BOUNDS_MS), "inf")


@dataclass(frozen=True)
class DurationCounts:
    """A histogram of durations.

    Attributes:
        at_most: how many took no longer than each of `BOUNDS_MS`; the last counts all.
        sum_s: the sum of all durations.
    """

    at_most: tuple[int, ...]
    sum_s: float


@dataclass(frozen=True)
class TaskDurations:
    """How long the tasks of one definition waited in their queue, and how long each run took."""

    definition: str
    waits: DurationCounts
    runs: DurationCounts


async def read_task_durations(redis: Redis, definitions: Iterable[str]) -> list[TaskDurations]:
    """Read the durations of some definitions in one round trip."""
    definitions = list(definitions)
    async with redis.pipeline(transaction=False) as pipe:
        for name in definitions:
            pipe.hgetall(f"{KEY}timings:{name}")
        hashes: list[dict[str, str]] = await pipe.execute()
    return [
        TaskDurations(name, _durations(counts, "wait"), _durations(counts, "run"))
        for name, counts in zip(definitions, hashes, strict=True)
    ]


def _durations(counts: dict[str, str], what: str) -> DurationCounts:
    at_most = accumulate(int(counts.get(f"{what}:{bucket}", 0)) for bucket in _BUCKETS)
    return DurationCounts(tuple(at_most), int(counts.get(f"{what}:sum_ms", 0)) / 1_000)

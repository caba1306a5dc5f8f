"""Keep tasks in the queue while a test waits for its workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.site import Site
    from tests.faults.worker import Worker

RESERVE = 100  # messages in the queue, more than the workers of a test run between two checks


class Flood:
    """Short tasks for all workers of a site.

    A test that waits for one worker calls a method here, which enqueues more tasks before the queue
    is empty. Otherwise the other workers could run all tasks first, and the worker that the test
    waits for would have nothing left to run.
    """

    def __init__(self, site: Site, seconds: float) -> None:
        """Prepare a flood with no tasks yet.

        Args:
            site: the installation that runs the tasks.
            seconds: how long each task takes.
        """
        self._site, self._seconds = site, seconds
        self.keys: list[str] = []

    async def enqueue(self, count: int) -> None:
        """Enqueue some more tasks."""
        keys = [f"k{n}" for n in range(len(self.keys), len(self.keys) + count)]
        await self._site.work(keys, self._seconds)
        self.keys += keys

    async def wait_until_begun(self, count: int, deadline_s: float) -> None:
        """Wait until this many more runs have begun than before."""
        before = len(self._site.ledger.runs())
        deadline = time.monotonic() + deadline_s
        while len(self._site.ledger.runs()) < before + count:
            await self._keep_up(deadline, f"{count} more runs")

    async def wait_until_all_consume(
        self, workers: Sequence[Worker], since: float, deadline_s: float
    ) -> float:
        """Wait until each worker has begun a run after a time, and return the seconds between."""
        deadline = time.monotonic() + deadline_s
        while idle := [worker.name for worker in workers if not worker.has_run_since(since)]:
            await self._keep_up(deadline, f"workers {idle} consume again")
        return time.time() - since

    async def _keep_up(self, deadline: float, what: str) -> None:
        waiting = self._site.redis.llen("celery")
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not in time, with {waiting} messages in the queue")
        if waiting < RESERVE:
            await self.enqueue(RESERVE)
        await asyncio.sleep(0.02)

"""The cluster as it changes: one poller per process, and only while somebody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeryql.periodic_jobs import PeriodicJob
from celeryql.watching.queues_and_workers import ClusterReader, QueueStatus, WorkerStatus

# What moves on its own is no change worth telling, but is told with the next one.
_NOT_TOLD_ALONE = frozenset({"oldest_waiting_s", "seen_at", "rss_bytes"})


@dataclass(frozen=True)
class ClusterSnapshot:
    """All queues and workers at one time."""

    at: datetime
    queues: tuple[QueueStatus, ...]
    workers: tuple[WorkerStatus, ...]

    def differs_from(self, other: ClusterSnapshot | None) -> bool:
        """Tell whether there is a change worth telling."""
        return other is None or _told(self) != _told(other)


def _told(moment: ClusterSnapshot) -> list[dict[str, Any]]:
    statuses = [vars(status) for status in (*moment.queues, *moment.workers)]
    return [{k: v for k, v in s.items() if k not in _NOT_TOLD_ALONE} for s in statuses]


class ClusterPoller:
    """Looks at the cluster, once in an interval, for all who watch it."""

    def __init__(
        self, cluster_reader: ClusterReader, queues: Sequence[str], *, interval_s: float = 1.0
    ) -> None:
        self._cluster_reader = cluster_reader
        self._queues = queues
        self._interval_s = interval_s
        self.pollers: set[asyncio.Task[None]] = set()  # one at most, and such as are ending
        self._watchers = 0
        self._poller: asyncio.Task[None] | None = None
        self._job: PeriodicJob | None = None  # while somebody watches
        self._newest: ClusterSnapshot | None = None
        self._changed = asyncio.Event()

    @property
    def problem(self) -> str | None:
        """What keeps this from looking at the cluster; None if nothing does."""
        return self._job.problem if self._job else None

    async def watch(self) -> AsyncGenerator[ClusterSnapshot, None]:
        """Give the cluster at once, then after each change, at most once in an interval."""
        with self._polling():
            while True:
                changed = self._changed
                if self._newest is not None:
                    yield self._newest
                    await asyncio.sleep(self._interval_s)
                await changed.wait()

    @contextmanager
    def _polling(self) -> Iterator[None]:
        self._watchers += 1
        if self._poller is None:
            self._job = PeriodicJob("look at the cluster", self._interval_s)
            poll = self._job.run_until_canceled(self._poll)
            self._poller = asyncio.create_task(poll, name="cluster poller")
            self.pollers.add(self._poller)
            self._poller.add_done_callback(self.pollers.discard)
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._poller.cancel()
                self._poller = self._job = self._newest = None

    async def _poll(self) -> None:
        moment = await self._look()
        if self._poller is asyncio.current_task() and moment.differs_from(self._newest):
            self._newest = moment
            self._changed.set()
            self._changed = asyncio.Event()

    async def _look(self) -> ClusterSnapshot:
        at = await self._cluster_reader.now()
        queues = await self._cluster_reader.queues(self._queues)
        return ClusterSnapshot(at, tuple(queues), tuple(await self._cluster_reader.workers()))

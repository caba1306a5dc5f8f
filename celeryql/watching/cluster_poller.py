"""The cluster poller: follows all queues and workers, only while somebody subscribes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeryql.periodic_jobs import PeriodicJob
from celeryql.watching.queues_and_workers import ClusterReader, QueueStatus, WorkerStatus

# These change all the time. They are sent only together with another change.
_NOT_SENT_ALONE = frozenset({"oldest_waiting_s", "seen_at", "rss_bytes"})


@dataclass(frozen=True)
class ClusterSnapshot:
    """All queues and workers at one time."""

    at: datetime
    queues: tuple[QueueStatus, ...]
    workers: tuple[WorkerStatus, ...]

    def differs_from(self, other: ClusterSnapshot | None) -> bool:
        """Return whether there is a change that subscribers get."""
        return other is None or _relevant_fields(self) != _relevant_fields(other)


def _relevant_fields(snapshot: ClusterSnapshot) -> list[dict[str, Any]]:
    statuses = [vars(status) for status in (*snapshot.queues, *snapshot.workers)]
    return [{k: v for k, v in s.items() if k not in _NOT_SENT_ALONE} for s in statuses]


class ClusterPoller:
    """Reads all queues and workers at intervals, once for all subscribers of this process."""

    def __init__(
        self, cluster_reader: ClusterReader, queues: Sequence[str], *, interval_s: float = 1.0
    ) -> None:
        self._cluster_reader = cluster_reader
        self._queues = queues
        self._interval_s = interval_s
        self.tasks: set[asyncio.Task[None]] = set()  # at most one, and those that are ending
        self._subscribers = 0
        self._task: asyncio.Task[None] | None = None
        self._job: PeriodicJob | None = None  # while there are subscribers
        self._newest: ClusterSnapshot | None = None
        self._changed = asyncio.Event()

    @property
    def problem(self) -> str | None:
        """What keeps this from reading queues and workers; None if nothing does."""
        return self._job.problem if self._job else None

    async def watch(self) -> AsyncGenerator[ClusterSnapshot, None]:
        """Yield the cluster at once, then after each change, at most once per interval."""
        with self._polling():
            while True:
                changed = self._changed
                if self._newest is not None:
                    yield self._newest
                    await asyncio.sleep(self._interval_s)
                await changed.wait()

    @contextmanager
    def _polling(self) -> Iterator[None]:
        self._subscribers += 1
        if self._task is None:
            self._job = PeriodicJob("read queues and workers", self._interval_s)
            poll = self._job.run_until_canceled(self._poll)
            self._task = asyncio.create_task(poll, name="cluster poller")
            self.tasks.add(self._task)
            self._task.add_done_callback(self.tasks.discard)
        try:
            yield
        finally:
            self._subscribers -= 1
            if not self._subscribers:
                self._task.cancel()
                self._task = self._job = self._newest = None

    async def _poll(self) -> None:
        snapshot = await self._read_snapshot()
        if self._task is asyncio.current_task() and snapshot.differs_from(self._newest):
            self._newest = snapshot
            self._changed.set()
            self._changed = asyncio.Event()

    async def _read_snapshot(self) -> ClusterSnapshot:
        at = await self._cluster_reader.read_time()
        queues = await self._cluster_reader.read_queues(self._queues)
        return ClusterSnapshot(at, tuple(queues), tuple(await self._cluster_reader.read_workers()))

"""The event reader: reads the stream of all events once per process and fans it out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis

from celeryql.periodic_jobs import PeriodicJob
from celeryql.records import KEY, Cursor, Event, Record
from celeryql.state.listing import RecordFilter
from celeryql.state.store import parse_event
from celeryql.watching.record_cache import RecordCache
from celeryql.watching.subscriber_queue import SubscriberQueue

# How long one XREAD waits; an event ends the wait at once. A dead connection is noticed because the
# answer does not arrive, so this is well below the client's timeout.
_BLOCK_MS = 1_000
_BATCH = 500  # events of one XREAD
_IDLE_S = 1.0  # without subscribers, how often an attempt ends, so that old problems are cleared

Key = TypeVar("Key")

logger = logging.getLogger(__name__)


class EventReader:
    """Delivers every event to those who subscribe to its root, its owner, or all tasks."""

    def __init__(self, redis: Redis, record_cache: RecordCache) -> None:
        """Start at the end of the stream.

        Args:
            redis: a client that nothing else uses, because its one connection always waits.
            record_cache: has the owner of an event's task, and the fields that filters match.
        """
        self._redis = redis
        self._record_cache = record_cache
        self.job = PeriodicJob("read the event stream")
        self._by_root: dict[str, set[SubscriberQueue]] = {}
        self._by_owner: dict[str | None, set[SubscriberQueue]] = {}  # None: they see all owners
        self._newest = Cursor("0-0")
        self._number = 0  # of the newest event; a gap in the numbers shows that events were trimmed
        self._is_wanted = asyncio.Event()
        self._is_reading = asyncio.Event()

    @property
    def newest_cursor(self) -> Cursor:
        """The newest event that this process has read, while or since it had subscribers."""
        return self._newest

    def subscribe_to_root(self, root: str) -> AbstractContextManager[SubscriberQueue]:
        """Subscribe to a task, or to a workflow and its steps; then call `wait_until_reading`."""
        return _Subscription(self._by_root, root, SubscriberQueue())

    def subscribe_to_owner(
        self, owner: str | None, filter_: RecordFilter
    ) -> AbstractContextManager[SubscriberQueue]:
        """Subscribe to the matching tasks of an owner, or of all owners if it is None."""
        return _Subscription(self._by_owner, owner, SubscriberQueue(filter_))

    async def wait_until_reading(self) -> None:
        """Wait until every event from now on reaches the subscribers."""
        self._is_wanted.set()
        await self._is_reading.wait()

    async def run(self) -> None:
        """Read while there are subscribers; after a failure, resume where reading stopped."""
        await self.job.run_until_canceled(self._read_if_wanted)

    async def _read_if_wanted(self) -> bool:
        if self._by_root or self._by_owner:
            await self._read()
            return True
        self._is_reading.clear()
        self._is_wanted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_S):
                await self._is_wanted.wait()
        return True

    async def _read(self) -> None:
        if not self._is_reading.is_set():
            newest: Any = await self._redis.xrevrange(f"{KEY}events", count=1)
            self._newest, fields = newest[0] if newest else (Cursor("0-0"), {})
            self._number = int(fields.get("number", 0))
            self._is_reading.set()
        answer: Any = await self._redis.xread(
            {f"{KEY}events": self._newest}, count=_BATCH, block=_BLOCK_MS
        )
        for _, entries in answer:
            await self._deliver(entries)
        await asyncio.sleep(0)  # lets the subscribers send these before the next XREAD takes time

    async def _deliver(self, entries: list[tuple[Cursor, dict[str, str]]]) -> None:
        events = {
            cursor: event
            for cursor, fields in entries
            if self._by_owner or fields["root"] in self._by_root
            if (event := parse_event(cursor, fields["event"]))
        }
        ids = [event.id for event in events.values()] if self._by_owner else []
        records = await self._record_cache.get_many(ids)
        # Nothing below awaits, so an event that counts as read has been delivered.
        for cursor, fields in entries:
            self._advance(cursor, int(fields["number"]))
            if event := events.get(cursor):
                for queue in self._queues_for(event, fields["root"], records.get(event.id)):
                    queue.push(event)

    def _advance(self, cursor: Cursor, number: int) -> None:
        if number != self._number + 1:
            logger.warning(
                "Events %d to %d were trimmed before they were read: subscribers read them from "
                "the history of their tasks",
                self._number + 1,
                number - 1,
            )
            for queues in (*self._by_root.values(), *self._by_owner.values()):
                for queue in queues:
                    queue.mark_incomplete_after(self._newest)
        self._newest, self._number = cursor, number

    def _queues_for(
        self, event: Event, root: str, record: Record | None
    ) -> Iterator[SubscriberQueue]:
        yield from self._by_root.get(root, ())
        if record is None:  # not read because nobody needs it, or no longer stored
            return
        for owner in (None, record.owner):
            for queue in self._by_owner.get(owner, ()):
                if queue.filter.matches(record, event.state):
                    yield queue


class _Subscription(Generic[Key]):
    """Registers a queue for the length of a `with` block."""

    __slots__ = ("_key", "_queue", "_queues")  # there are many, and a generator takes more memory

    def __init__(
        self, queues: dict[Key, set[SubscriberQueue]], key: Key, queue: SubscriberQueue
    ) -> None:
        self._queues, self._key, self._queue = queues, key, queue

    def __enter__(self) -> SubscriberQueue:
        self._queues.setdefault(self._key, set()).add(self._queue)
        return self._queue

    def __exit__(self, *_: object) -> None:
        self._queues[self._key].discard(self._queue)
        if not self._queues[self._key]:
            del self._queues[self._key]

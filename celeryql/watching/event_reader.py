"""The feed: one reader of the stream of all events for this process, fanned out to watchers."""

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

# How long one XREAD waits; an event ends the wait at once. A connection that passes nothing any
# more is noticed by an answer that does not come, so this is well below the time for an answer.
_BLOCK_MS = 1_000
_BATCH = 500  # events of one XREAD
_IDLE_S = 1.0  # while nobody watches, how often a failure of before is forgotten

Key = TypeVar("Key")

logger = logging.getLogger(__name__)


class EventReader:
    """Hands every event to those who watch its root, its owner, or everyone's tasks."""

    def __init__(self, redis: Redis, record_cache: RecordCache) -> None:
        """Begin where the stream ends.

        Args:
            redis: a client of its own, because its one connection is always waiting.
            record_cache: says whose an event's task is, and what it is like.
        """
        self._redis = redis
        self._record_cache = record_cache
        self.job = PeriodicJob("read the event stream")
        self._of_root: dict[str, set[SubscriberQueue]] = {}
        self._of_owner: dict[
            str | None, set[SubscriberQueue]
        ] = {}  # None: of those who see everyone's
        self._last = Cursor("0-0")
        self._number = 0  # of the last event; a jump tells that the stream was trimmed ahead of us
        self._is_wanted = asyncio.Event()
        self._is_reading = asyncio.Event()

    @property
    def newest(self) -> Cursor:
        """The last event that this process has read, while or when somebody watched."""
        return self._last

    def of_root(self, root: str) -> AbstractContextManager[SubscriberQueue]:
        """Watch one task, or a workflow with all its steps; wait for `reading` then."""
        return _Registered(self._of_root, root, SubscriberQueue())

    def of_owner(
        self, owner: str | None, filter_: RecordFilter
    ) -> AbstractContextManager[SubscriberQueue]:
        """Watch all tasks of an owner, or with None of everyone, that match; likewise."""
        return _Registered(self._of_owner, owner, SubscriberQueue(filter_))

    async def reading(self) -> None:
        """Wait until every event from now on reaches those who are registered."""
        self._is_wanted.set()
        await self._is_reading.wait()

    async def run(self) -> None:
        """Read while somebody watches; resume where it was after a failure."""
        await self.job.run_until_canceled(self._read_if_watched)

    async def _read_if_watched(self) -> bool:
        if self._of_root or self._of_owner:
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
            self._last, fields = newest[0] if newest else (Cursor("0-0"), {})
            self._number = int(fields.get("number", 0))
            self._is_reading.set()
        answer: Any = await self._redis.xread(
            {f"{KEY}events": self._last}, count=_BATCH, block=_BLOCK_MS
        )
        for _, entries in answer:
            await self._hand_out(entries)
        await asyncio.sleep(0)  # those who were given some go first, before what asking takes

    async def _hand_out(self, entries: list[tuple[Cursor, dict[str, str]]]) -> None:
        events = {
            cursor: event
            for cursor, fields in entries
            if self._of_owner or fields["root"] in self._of_root
            if (event := parse_event(cursor, fields["event"]))
        }
        ids = [event.id for event in events.values()] if self._of_owner else []
        records = await self._record_cache.get_many(ids)
        # From here on nothing waits, so what is counted as read has been handed out.
        for cursor, fields in entries:
            self._advance(cursor, int(fields["number"]))
            if event := events.get(cursor):
                for watcher in self._watchers(event, fields["root"], records.get(event.id)):
                    watcher.push(event)

    def _advance(self, cursor: Cursor, number: int) -> None:
        if number != self._number + 1:
            logger.warning("Events %d to %d were missed", self._number + 1, number - 1)
            for watchers in (*self._of_root.values(), *self._of_owner.values()):
                for watcher in watchers:
                    watcher.lag(self._last)
        self._last, self._number = cursor, number

    def _watchers(
        self, event: Event, root: str, record: Record | None
    ) -> Iterator[SubscriberQueue]:
        yield from self._of_root.get(root, ())
        if record is None:  # nobody's, or forgotten already
            return
        for owner in (None, record.owner):
            for watcher in self._of_owner.get(owner, ()):
                if watcher.filter.matches(record, event.state):
                    yield watcher


class _Registered(Generic[Key]):
    """Has a watcher be told for as long as a block lasts."""

    __slots__ = ("_key", "_watched", "_watcher")  # there are very many; a generator takes more

    def __init__(
        self, watched: dict[Key, set[SubscriberQueue]], key: Key, watcher: SubscriberQueue
    ) -> None:
        self._watched, self._key, self._watcher = watched, key, watcher

    def __enter__(self) -> SubscriberQueue:
        self._watched.setdefault(self._key, set()).add(self._watcher)
        return self._watcher

    def __exit__(self, *_: object) -> None:
        self._watched[self._key].discard(self._watcher)
        if not self._watched[self._key]:
            del self._watched[self._key]

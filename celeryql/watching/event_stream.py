"""Streams of events: each subscriber gets every event that concerns it once, in order.

A subscriber first registers a watcher, then reads what Redis keeps behind its cursor, then takes
what the watcher has gathered, leaving out what it has seen: so there is no gap between the past and
the present. Whenever the watcher says that something is missing, the same begins again behind the
last event that it is complete to. What Redis keeps is bounded; where it does not reach back far
enough, the subscriber is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from celeryql.errors import CursorExpired, UnknownCursor
from celeryql.records import Cursor, Event, EventKind, Record, cursor_position
from celeryql.state.listing import RecordFilter
from celeryql.state.store import EventPage, Store
from celeryql.watching.event_reader import EventReader
from celeryql.watching.record_cache import RecordCache
from celeryql.watching.subscriber_queue import SubscriberQueue

# To begin a stream. Above the few seconds that a process needs for a thousand clients that come
# back all at once; the time for any one answer is not enough then.
_START_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A task as it is now, in place of what came before; of kind GAP where that is lost.

    Attributes:
        cursor: up to here the record shows all that happened to it.
    """

    record: Record
    cursor: Cursor
    kind: EventKind = EventKind.SNAPSHOT


class EventStream:
    """What has happened and happens to tasks."""

    def __init__(self, event_reader: EventReader, store: Store, record_cache: RecordCache) -> None:
        """Join the past, which the store reads, with the present, which the feed tells.

        Args:
            event_reader: of this process.
            store: one that outwaits an outage, as those who watch do.
            record_cache: what events leave out, because it never changes.
        """
        self._event_reader = event_reader
        self._store = store
        self.record_cache = record_cache

    async def find(self, task_id: str) -> Record | None:
        """Find what never changes of a task to watch.

        As many look for theirs at once, this may take a while; and all watch for long, so what is
        given is shared.

        Raises:
            TimeoutError: there was an outage all the while.
        """
        async with asyncio.timeout(_START_TIMEOUT_S):
            record = await self._store.get(task_id)
        return record and self.record_cache.add(record)

    async def check(self, cursor: Cursor) -> None:
        """See that all events can be told from a cursor on.

        Raises:
            UnknownCursor: no event has it yet.
            TimeoutError: there was an outage all the while.
        """
        if cursor_position(cursor) <= cursor_position(self._event_reader.newest):
            return
        async with asyncio.timeout(_START_TIMEOUT_S):
            if cursor_position(cursor) > cursor_position(await self._store.newest_cursor()):
                raise UnknownCursor(cursor)

    async def watch(
        self, task: Record, after: Cursor | None = None
    ) -> AsyncGenerator[Event | Snapshot, None]:
        """Follow one task, or a workflow with all its steps, until its final event.

        Args:
            task: as it was found.
            after: resume behind this event; without it a snapshot comes first.

        Yields:
            Each event once, in order. Where some are not kept any more, a snapshot of kind GAP,
            and another to go on from.
        """
        with self._event_reader.of_root(task.root) as watcher:
            await self._event_reader.reading()
            kinds = [EventKind.SNAPSHOT] if after is None else []
            while found := await self._now(task):
                now, cursor = found
                for kind in kinds:
                    yield Snapshot(now, cursor, kind)
                seen = cursor if after is None else after
                if now.state.is_final and cursor_position(now.cursor) <= cursor_position(seen):
                    return
                del found, now  # what follows may take days
                follow = _follow(watcher, partial(self._store.history, task), seen)
                try:
                    async with aclosing(follow) as events:
                        async for event in events:
                            if task.id in (task.root, event.id):
                                yield event
                            if event.id == task.id and event.state.is_final:
                                return
                except CursorExpired:
                    after, kinds = None, [EventKind.GAP, EventKind.SNAPSHOT]

    async def _now(self, task: Record) -> tuple[Record, Cursor] | None:
        """Read a task again, with an event up to which this shows all that happened to it."""
        # The root first: what its history had lost by then, the task has behind it.
        root, *step = await self._store.get_many(dict.fromkeys((task.root, task.id)))
        now = step[0] if step else root
        if now is None or root is None:
            return None
        seen = max(now.cursor, root.trimmed or now.cursor, key=cursor_position)
        return task.as_of(now).compact(), seen  # which shares what never changes

    async def watch_all(
        self, owner: str | None, filter_: RecordFilter, after: Cursor | None = None
    ) -> AsyncGenerator[Event, None]:
        """Follow all tasks that match, from now on or behind an event of whichever task.

        Args:
            owner: whose tasks; None for everyone's.
            filter_: what they must match, as of the event.
            after: where to begin.

        Raises:
            CursorExpired: the stream does not reach back so far, or not any more.
        """

        async def read(behind: Cursor) -> EventPage:
            page = await self._store.stream(behind)
            records = await self.record_cache.get_many(event.id for event in page.events)
            events = [
                event
                for event in page.events
                if (record := records.get(event.id))
                if owner in (None, record.owner) and filter_.matches(record, event.state)
            ]
            return EventPage(events, page.more_after)

        with self._event_reader.of_owner(owner, filter_) as watcher:
            await self._event_reader.reading()
            start = await self._store.newest_cursor() if after is None else after
            async with aclosing(_follow(watcher, read, start)) as events:
                async for event in events:
                    yield event


async def _follow(
    watcher: SubscriberQueue, read: Callable[[Cursor], Awaitable[EventPage]], after: Cursor
) -> AsyncGenerator[Event, None]:
    """Give every event behind a cursor once, in order: first what is kept, then what comes."""
    seen = after
    while True:
        behind: Cursor | None = seen
        while behind is not None:
            page = await read(behind)
            if (task := asyncio.current_task()) and task.cancelling():
                # On Python 3.11 redis-py's wait_for can swallow the cancellation of a read.
                raise asyncio.CancelledError
            for event in page.events:
                seen = event.cursor
                yield event
            behind = page.more_after
        missing_after = None
        while missing_after is None:
            events, missing_after = await watcher.take()
            for event in events:
                if cursor_position(event.cursor) > cursor_position(seen):
                    seen = event.cursor
                    yield event
        seen = max(seen, missing_after, key=cursor_position)

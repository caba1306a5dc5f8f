"""Event streams: each subscriber gets every event that concerns it once, in order.

A subscriber first registers a queue. Then it reads the events that Redis keeps after its cursor.
Then it takes the events that the queue has collected, and skips those that it has seen. So no event
is lost between the past and the present. If the queue reports missing events, the subscriber reads
on in Redis, after the last event that it has. Redis keeps a bounded number of events: if the next
one is no longer stored, the subscriber gets a snapshot of kind GAP instead.
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

# To start a stream. A process needs a few seconds for a thousand clients that reconnect at once,
# which is more than the timeout of one answer of Redis.
_START_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The current state of a task; of kind GAP if it replaces events that are no longer stored.

    Attributes:
        cursor: the record includes every event up to this one.
    """

    record: Record
    cursor: Cursor
    kind: EventKind = EventKind.SNAPSHOT


class EventStream:
    """Streams the past and future events of tasks."""

    def __init__(self, event_reader: EventReader, store: Store, record_cache: RecordCache) -> None:
        """Combine the reader of new events with the store of past ones.

        Args:
            event_reader: the one of this process.
            store: its client retries through outages, because subscribers wait for their end.
            record_cache: has the constant fields, which events leave out.
        """
        self._event_reader = event_reader
        self._store = store
        self.record_cache = record_cache

    async def find_record(self, task_id: str) -> Record | None:
        """Find the constant fields of a task to watch; None if there is no such task.

        Subscribers of the same task share the record, because they keep it for long. The timeout is
        that of a start, because many subscribers may start at once.

        Raises:
            TimeoutError: Redis did not answer.
        """
        async with asyncio.timeout(_START_TIMEOUT_S):
            record = await self._store.get(task_id)
        return record and self.record_cache.add(record)

    async def check_cursor(self, cursor: Cursor) -> None:
        """Check that a cursor is not ahead of all events.

        Raises:
            UnknownCursor: no event has this cursor yet.
            TimeoutError: Redis did not answer.
        """
        if cursor_position(cursor) <= cursor_position(self._event_reader.newest_cursor):
            return
        async with asyncio.timeout(_START_TIMEOUT_S):
            if cursor_position(cursor) > cursor_position(await self._store.newest_cursor()):
                raise UnknownCursor(cursor)

    async def watch(
        self, task: Record, after: Cursor | None = None
    ) -> AsyncGenerator[Event | Snapshot, None]:
        """Stream one task, or a workflow with all its steps, until its final event.

        Args:
            task: its constant fields, from `find_record`.
            after: resume after this event; without it, start with a snapshot.

        Yields:
            Each event once, in order; for events that are no longer stored, a snapshot of kind GAP
            and one to continue from.
        """
        with self._event_reader.subscribe_to_root(task.root) as queue:
            await self._event_reader.wait_until_reading()
            kinds = [EventKind.SNAPSHOT] if after is None else []
            while found := await self._read_now(task):
                now, cursor = found
                for kind in kinds:
                    yield Snapshot(now, cursor, kind)
                seen = cursor if after is None else after
                if now.state.is_final and cursor_position(now.cursor) <= cursor_position(seen):
                    return
                del found, now  # the rest may take days
                follow = _follow(queue, partial(self._store.read_history, task), seen)
                try:
                    async with aclosing(follow) as events:
                        async for event in events:
                            if task.id in (task.root, event.id):
                                yield event
                            if event.id == task.id and event.state.is_final:
                                return
                except CursorExpired:
                    after, kinds = None, [EventKind.GAP, EventKind.SNAPSHOT]

    async def _read_now(self, task: Record) -> tuple[Record, Cursor] | None:
        """Read the task again, and the newest event that the record certainly includes."""
        # The root comes first: what its history had lost by then, the task's record includes.
        root, *step = await self._store.get_many(dict.fromkeys((task.root, task.id)))
        now = step[0] if step else root
        if now is None or root is None:
            return None
        seen = max(now.cursor, root.trimmed or now.cursor, key=cursor_position)
        return task.as_of(now).compact(), seen  # shares the constant fields with `task`

    async def watch_all(
        self, owner: str | None, filter_: RecordFilter, after: Cursor | None = None
    ) -> AsyncGenerator[Event, None]:
        """Stream the events of all matching tasks.

        Args:
            owner: of the tasks; None for all owners.
            filter_: what the task must match at the time of the event.
            after: start after this event of any task; without it, start now.

        Raises:
            CursorExpired: the events that follow the cursor are no longer stored.
        """
        read = partial(self._read_matching, owner, filter_)
        with self._event_reader.subscribe_to_owner(owner, filter_) as queue:
            await self._event_reader.wait_until_reading()
            start = await self._store.newest_cursor() if after is None else after
            async with aclosing(_follow(queue, read, start)) as events:
                async for event in events:
                    yield event

    async def _read_matching(
        self, owner: str | None, filter_: RecordFilter, after: Cursor
    ) -> EventPage:
        """Read the next page of past events, and keep those that match."""
        page = await self._store.read_stream(after)
        records = await self.record_cache.get_many(event.id for event in page.events)
        events = [
            event
            for event in page.events
            if (record := records.get(event.id))
            if owner in (None, record.owner) and filter_.matches(record, event.state)
        ]
        return EventPage(events, page.more_after)


async def _follow(
    queue: SubscriberQueue, read: Callable[[Cursor], Awaitable[EventPage]], after: Cursor
) -> AsyncGenerator[Event, None]:
    """Yield every event after a cursor once, in order: first those in Redis, then new ones."""
    seen = after
    while True:
        next_page: Cursor | None = seen
        while next_page is not None:
            page = await read(next_page)
            if (task := asyncio.current_task()) and task.cancelling():
                # On Python 3.11 redis-py's wait_for can swallow the cancellation of a read.
                raise asyncio.CancelledError
            for event in page.events:
                seen = event.cursor
                yield event
            next_page = page.more_after
        missing_after = None
        while missing_after is None:
            events, missing_after = await queue.take()
            for event in events:
                if cursor_position(event.cursor) > cursor_position(seen):
                    seen = event.cursor
                    yield event
        seen = max(seen, missing_after, key=cursor_position)

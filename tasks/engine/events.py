"""Events: one reader of the stream per process, fanned out to whoever watches; lossless.

A watcher registers before it reads what is kept, then leaves out what it has already seen: so there
is no gap between the past and the present, and none after a cursor.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis

from tasks.engine.errors import OUTAGES
from tasks.engine.records import KEY, Cursor, Event, EventKind, Record, TaskId, position
from tasks.engine.store import Store

_BLOCK_MS = 5_000  # how long one XREAD waits; an event ends the wait at once
_PENDING_MAX = 1_000  # events a watcher may lag behind before it reads the history again
_RETRY_S = 0.2

logger = logging.getLogger(__name__)


class Watcher:
    """The events of one root that one subscriber has yet to take; bounded."""

    def __init__(self) -> None:
        self._pending: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self.has_lagged = False

    def push(self, event: Event) -> None:
        """Add an event; progress that was not taken yet is replaced by newer of the same task."""
        last = self._pending[-1] if self._pending else None
        is_newer_progress = last and last.id == event.id and last.kind is EventKind.PROGRESS
        if is_newer_progress and event.kind is EventKind.PROGRESS:
            self._pending.pop()
        if len(self._pending) >= _PENDING_MAX:
            self.lag()
        self._pending.append(event)
        self._arrived.set()

    def lag(self) -> None:
        """Have the history read instead, because events were missed."""
        self._pending.clear()
        self.has_lagged = True
        self._arrived.set()

    async def take(self) -> list[Event]:
        """Wait for events and take all that have arrived."""
        await self._arrived.wait()
        self._arrived.clear()
        taken = list(self._pending)
        self._pending.clear()
        return taken


class Feed:
    """Reads the stream of all events once for this process."""

    def __init__(self, redis: Redis, store: Store) -> None:
        """Begin where the stream ends.

        Args:
            redis: a client of its own, because its one connection is always waiting.
            store: one that outwaits an outage, as those who watch do.
        """
        self._redis = redis
        self.store = store
        self._watchers: dict[str, set[Watcher]] = {}
        self._last = Cursor("")
        self._number = 0  # of the last event; a jump tells that the stream was trimmed ahead of us
        self._is_reading = asyncio.Event()

    async def run(self) -> None:
        """Read for as long as the process lives; resume where it was after an outage."""
        is_interrupted = False
        while True:
            try:
                await self._read()
            except OUTAGES as error:  # an UNBLOCKED of a demoted master is a ResponseError, too
                if not is_interrupted:
                    logger.warning("Event stream interrupted, trying to resume: %s", error)
                is_interrupted = True
                await asyncio.sleep(_RETRY_S)
            else:
                if is_interrupted:
                    logger.warning("Event stream resumed")
                is_interrupted = False

    async def _read(self) -> None:
        if not self._is_reading.is_set():
            newest: Any = await self._redis.xrevrange(f"{KEY}events", count=1)
            self._last, fields = newest[0] if newest else (Cursor("0-0"), {})
            self._number = int(fields.get("number", 0))
            self._is_reading.set()
        answer: Any = await self._redis.xread(
            {f"{KEY}events": self._last}, count=500, block=_BLOCK_MS
        )
        for _, entries in answer:
            for cursor, fields in entries:
                self._last = cursor
                self._hand_out(cursor, fields)

    def _hand_out(self, cursor: str, fields: dict[str, str]) -> None:
        number = int(fields["number"])
        if number != self._number + 1:
            logger.warning("Events %d to %d were missed", self._number + 1, number - 1)
            for watcher in [w for watchers in self._watchers.values() for w in watchers]:
                watcher.lag()
        self._number = number
        watchers = self._watchers.get(fields["root"])
        if not watchers:
            return
        try:
            event = Event.parse(cursor, fields["event"])
        except ValidationError:  # of one task; the others' watchers must not suffer
            logger.exception("Event %s cannot be read", cursor)
            return
        for watcher in watchers:
            watcher.push(event)

    @contextmanager
    def _watching(self, root: str) -> Iterator[Watcher]:
        watcher = Watcher()
        self._watchers.setdefault(root, set()).add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[root].discard(watcher)
            if not self._watchers[root]:
                del self._watchers[root]

    async def watch(
        self, record: Record, after: Cursor | None = None
    ) -> AsyncGenerator[Event | Record, None]:
        """Follow one task, or a workflow with all its steps, until its final event.

        Args:
            record: the task, as it was found.
            after: resume behind this event; without it a snapshot comes first.

        Yields:
            A `Record` for the snapshot, then each event once, in order.

        Raises:
            ValueError: `after` is no cursor, or of no event yet.
        """
        await self._is_reading.wait()
        if after is not None and position(after) > position(await self.store.newest_cursor()):
            raise ValueError(f"invalid literal for a cursor: {after!r} lies in the future")
        with self._watching(record.root) as watcher:
            current = await self.store.get(record.id)
            if current is None:
                return
            if after is None:
                yield current
            seen = current.cursor if after is None else after
            if current.state.is_final and position(current.cursor) <= position(seen):
                return
            async with aclosing(self._follow(watcher, record.root, seen)) as events:
                async for event in events:
                    if record.id in (record.root, event.id):
                        yield event
                    if event.id == record.id and event.state.is_final:
                        return

    async def _follow(
        self, watcher: Watcher, root: TaskId, after: Cursor
    ) -> AsyncGenerator[Event, None]:
        """Give every event of a root behind a cursor: first what is kept, then what comes."""
        seen = position(after)
        events = await self.store.history(root, after)
        while True:
            for event in events:
                if position(event.cursor) > seen:
                    seen = position(event.cursor)
                    yield event
            if (task := asyncio.current_task()) and task.cancelling():
                # On Python 3.11 redis-py's wait_for can swallow the cancellation of a read.
                raise asyncio.CancelledError
            events = await watcher.take()
            if watcher.has_lagged:
                watcher.has_lagged = False
                events = await self.store.history(root)

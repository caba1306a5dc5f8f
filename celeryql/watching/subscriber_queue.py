"""The queue of events that one subscriber has not taken yet: in order, and bounded."""

from __future__ import annotations

import asyncio

from celeryql.records import Cursor, Event, EventKind
from celeryql.state.listing import RecordFilter

_ALL = RecordFilter()
_MAX_EVENTS = 1_000  # a subscriber that is further behind reads on in Redis


class SubscriberQueue:
    """Events on their way to one subscriber.

    A slow subscriber gets every state, but of progress only the newest. When the queue is full, or
    the reader has missed events, the queue stops: it accepts no more and remembers the last event
    up to which it is complete. The subscriber then reads what follows from Redis.
    """

    # A process may hold ten thousand of these. An `asyncio.Event` each would add a tenth of memory.
    __slots__ = ("_complete_to", "_pending", "_taker", "filter")

    def __init__(self, filter_: RecordFilter = _ALL) -> None:
        self.filter = filter_
        self._pending: dict[tuple[str, int], Event] = {}
        self._taker: asyncio.Future[None] | None = None
        self._complete_to: Cursor | None = None

    def push(self, event: Event) -> None:
        """Add an event; newer progress replaces progress of the same task that is still queued."""
        if self._complete_to is not None:
            return
        is_progress = event.kind is EventKind.PROGRESS
        key = (event.id, 0 if is_progress else event.version)
        self._pending.pop(key, None)
        self._pending[key] = event
        if len(self._pending) >= _MAX_EVENTS:
            self.mark_incomplete_after(event.cursor)
        self._wake()

    def mark_incomplete_after(self, cursor: Cursor) -> None:
        """Accept no more events, because those after this one are missing or too many."""
        self._complete_to = self._complete_to or cursor
        self._wake()

    def _wake(self) -> None:
        if self._taker and not self._taker.done():
            self._taker.set_result(None)

    async def take(self) -> tuple[list[Event], Cursor | None]:
        """Wait for events, take all of them, and accept events again.

        Returns:
            The events, and the cursor after which events are missing; None if none are.
        """
        if not self._pending and self._complete_to is None:
            self._taker = asyncio.get_running_loop().create_future()
            await self._taker
            self._taker = None
        taken, missing_after = list(self._pending.values()), self._complete_to
        self._pending.clear()
        self._complete_to = None
        return taken, missing_after

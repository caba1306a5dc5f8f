"""What one subscriber has yet to take of the events that concern it: in order, and bounded."""

from __future__ import annotations

import asyncio

from celeryql.records import Cursor, Event, EventKind
from celeryql.state.listing import RecordFilter

_ALL = RecordFilter()
_PENDING_MAX = 1_000  # events; whoever lags further behind reads on in what Redis keeps


class SubscriberQueue:
    """Events on their way to one subscriber.

    A slow one gets every state, and of progress the newest. When too much has gathered, or the
    reader itself has missed something, the watcher takes in no more and remembers up to which event
    it is complete: behind that, its subscriber reads what is kept.
    """

    # Ten thousand of them wait in a process; an `asyncio.Event` each would take a tenth of it all.
    __slots__ = ("_complete_to", "_pending", "_taker", "filter")

    def __init__(self, filter_: RecordFilter = _ALL) -> None:
        self.filter = filter_
        self._pending: dict[tuple[str, int], Event] = {}
        self._taker: asyncio.Future[None] | None = None
        self._complete_to: Cursor | None = None

    def push(self, event: Event) -> None:
        """Add an event; progress not taken yet gives way to newer of the same task."""
        if self._complete_to is not None:
            return
        is_progress = event.kind is EventKind.PROGRESS
        key = (event.id, 0 if is_progress else event.version)
        self._pending.pop(key, None)
        self._pending[key] = event
        if len(self._pending) >= _PENDING_MAX:
            self.lag(event.cursor)
        self._wake()

    def lag(self, complete_to: Cursor) -> None:
        """Take in no more, because what follows this event is missing or too much."""
        self._complete_to = self._complete_to or complete_to
        self._wake()

    def _wake(self) -> None:
        if self._taker and not self._taker.done():
            self._taker.set_result(None)

    async def take(self) -> tuple[list[Event], Cursor | None]:
        """Wait for events and take all that have arrived.

        Returns:
            The events, and where to read on in what is kept; None where nothing is missing.
        """
        if not self._pending and self._complete_to is None:
            self._taker = asyncio.get_running_loop().create_future()
            await self._taker
            self._taker = None
        taken, missing_after = list(self._pending.values()), self._complete_to
        self._pending.clear()
        self._complete_to = None
        return taken, missing_after

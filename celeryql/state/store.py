"""Reads records, graphs, inputs, results and events; each read takes one round trip."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis

from celeryql.errors import CursorExpired, StoredByAnotherRelease
from celeryql.lua_functions import call_async
from celeryql.records import KEY, Cursor, Event, Record, TaskId, cursor_position
from celeryql.state.graph import Graph
from celeryql.state.json_documents import input_key, meta_key

EVENTS_IN_PAGE = 500
# Each read uses a connection. When a thousand subscribers reconnect at once, opening a thousand
# connections takes longer than sharing a few.
_READS_AT_ONCE = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EventPage:
    """Events in order.

    Attributes:
        more_after: cursor after which the next page begins; None at the end.
    """

    events: list[Event]
    more_after: Cursor | None


class Store:
    """Reads records over one asynchronous client that decodes responses."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def get(self, task_id: str) -> Record | None:
        """Read one record; None if the task was never accepted, or has expired."""
        return (await self.get_many([task_id]))[0]

    async def get_many(self, ids: Iterable[str]) -> list[Record | None]:
        """Read records in the order of the ids, in one round trip.

        A record that cannot be read is logged, and None.
        """
        ids = list(ids)
        hashes = await self._hashes("task", ids)
        return [_record(id_, fields) for id_, fields in zip(ids, hashes, strict=True)]

    async def get_existing(self, ids: Iterable[str]) -> list[Record]:
        """Read the records that exist."""
        return [record for record in await self.get_many(ids) if record]

    async def read_graphs(self, ids: Iterable[str]) -> list[Graph | StoredByAnotherRelease | None]:
        """Read the graphs of workflows; None for an id of something else."""
        ids = list(ids)
        hashes = await self._hashes("workflow", ids)
        return [_graph(id_, fields) for id_, fields in zip(ids, hashes, strict=True)]

    async def read_inputs(self, ids: Iterable[str]) -> list[dict[str, Any] | None]:
        """Read the arguments of tasks, without the sensitive ones."""
        return await self._documents(input_key(id_) for id_ in ids)

    async def read_metas(self, ids: Iterable[str]) -> list[dict[str, Any] | None]:
        """Read Celery's result metas."""
        return await self._documents(meta_key(id_) for id_ in ids)

    async def _hashes(self, kind: str, ids: Iterable[str]) -> list[dict[str, str]]:
        async with self._turns, self._redis.pipeline(transaction=False) as pipe:
            for id_ in ids:
                pipe.hgetall(encode_name(f"{KEY}{kind}:{id_}"))
            hashes: list[dict[str, str]] = await pipe.execute()
        return hashes

    async def _documents(self, keys: Iterable[str]) -> list[dict[str, Any] | None]:
        async with self._turns:
            texts = await self._redis.mget(list(keys))
        return [None if text is None else json.loads(text) for text in texts]

    async def newest_cursor(self) -> Cursor:
        """Read the cursor of the newest event of all tasks."""
        async with self._turns:
            newest: Any = await self._redis.xrevrange(f"{KEY}events", count=1)
        return Cursor(newest[0][0] if newest else "0-0")

    async def read_history(
        self, task: Record, after: Cursor | None = None, count: int = EVENTS_IN_PAGE
    ) -> EventPage:
        """Read a page of a task's stored events, oldest first; a workflow includes its steps.

        Args:
            task: the task; the page of a step is shorter, because only its own events match.
            after: begin after this event; None for the oldest stored one.
            count: how many events of the root to look at.

        Raises:
            CursorExpired: events after `after` are no longer stored.
        """
        ms, sequence = cursor_position(Cursor("0-0") if after is None else after)
        async with self._turns:
            page = (task.root, str(ms), str(sequence), str(count))
            answer: Any = await call_async(self._redis, "read_history", *page)
        trimmed, entries = answer
        if after is not None and trimmed and cursor_position(trimmed) > cursor_position(after):
            raise CursorExpired(after)
        pairs = [entry.split(" ", 1) for entry in entries]
        more_after = pairs[-1][0] if len(pairs) == count else None
        if task.id != task.root:  # before parsing: a workflow has events of many steps
            pairs = [(cursor, text) for cursor, text in pairs if f'"{task.id}"' in text]
        events = [event for cursor, text in pairs if (event := parse_event(cursor, text))]
        return EventPage([e for e in events if task.id in (task.root, e.id)], more_after)

    async def read_stream(self, after: Cursor, count: int = EVENTS_IN_PAGE) -> EventPage:
        """Read a page of the events of all tasks, oldest first.

        Raises:
            CursorExpired: events after `after` are no longer stored.
        """
        ms, sequence = cursor_position(after)
        async with self._turns, self._redis.pipeline(transaction=False) as pipe:
            pipe.xrange(f"{KEY}events", f"({ms}-{sequence}", count=count)
            pipe.xrange(f"{KEY}events", count=1)  # last, so that a trim in between is seen
            entries, oldest = await pipe.execute()
        for cursor, fields in oldest:
            if cursor_position(cursor) > cursor_position(after) and int(fields["number"]) > 1:
                raise CursorExpired(after)
        events = [e for cursor, fields in entries if (e := parse_event(cursor, fields["event"]))]
        return EventPage(events, entries[-1][0] if len(entries) == count else None)


def parse_event(cursor: str, text: str) -> Event | None:
    """Parse an event; one that cannot be read is logged, and None."""
    try:
        return Event.parse(cursor, text)
    except ValueError:
        logger.exception("Event %s cannot be read", cursor)
        return None


def encode_name(name: str) -> bytes:
    """Encode a name from a client; a lone surrogate in it makes a key that never exists."""
    return name.encode("utf-8", "surrogatepass")


def _graph(task_id: str, fields: dict[str, str]) -> Graph | StoredByAnotherRelease | None:
    try:
        return Graph.parse(fields) if fields else None
    except (KeyError, ValueError):  # a ValidationError is a ValueError
        logger.exception("The graph of workflow %s cannot be read", task_id)
        return StoredByAnotherRelease(TaskId(task_id))


def _record(task_id: str, fields: dict[str, str]) -> Record | None:
    try:
        return Record.read(fields | {"id": task_id}) if fields else None
    except ValidationError:
        logger.exception("Record %s cannot be read", task_id)
        return None

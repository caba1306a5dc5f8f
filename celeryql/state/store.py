"""Reads of records, inputs, results and events; each in one round trip."""

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
from celeryql.records import KEY, Cursor, Event, Record, TaskId, cursor_position
from celeryql.scripts import source
from celeryql.state.graph import Graph
from celeryql.state.json_documents import input_key, meta_key

EVENTS_IN_PAGE = 500
# Each read that waits holds a connection. When a thousand subscribers come back at once, opening a
# thousand would take longer than any of them waits; the few that there are serve them in turn.
_READS_AT_ONCE = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EventPage:
    """Events in order; the next page begins behind `more_after`, None where there is none yet."""

    events: list[Event]
    more_after: Cursor | None


class Store:
    """Reads of records over one asynchronous client (responses decoded)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._history_page = redis.register_script(source("history", ()))
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def get(self, task_id: str) -> Record | None:
        """Read one record; None where no such task was ever accepted, or it was forgotten."""
        return (await self.get_many([task_id]))[0]

    async def get_many(self, ids: Iterable[str]) -> list[Record | None]:
        """Read records in the order of the ids, in one round trip.

        Of one that cannot be read the others do not suffer: it is logged, and None.
        """
        ids = list(ids)
        hashes = await self._hashes("task", ids)
        return [_record(id_, fields) for id_, fields in zip(ids, hashes, strict=True)]

    async def get_existing(self, ids: Iterable[str]) -> list[Record]:
        """Read those records that there are."""
        return [record for record in await self.get_many(ids) if record]

    async def graphs(self, ids: Iterable[str]) -> list[Graph | StoredByAnotherRelease | None]:
        """Read workflows' graphs and counts; None for what is no workflow."""
        ids = list(ids)
        hashes = await self._hashes("workflow", ids)
        return [_graph(id_, fields) for id_, fields in zip(ids, hashes, strict=True)]

    async def inputs(self, ids: Iterable[str]) -> list[dict[str, Any] | None]:
        """Read the arguments that tasks were given, the sensitive ones left out."""
        return await self._documents(input_key(id_) for id_ in ids)

    async def metas(self, ids: Iterable[str]) -> list[dict[str, Any] | None]:
        """Read Celery's own result metas."""
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
        """Read the position of the newest event of all."""
        async with self._turns:
            newest: Any = await self._redis.xrevrange(f"{KEY}events", count=1)
        return Cursor(newest[0][0] if newest else "0-0")

    async def history(
        self, task: Record, after: Cursor | None = None, count: int = EVENTS_IN_PAGE
    ) -> EventPage:
        """Read a page of the events kept of a task, oldest first; of a workflow its steps' too.

        Args:
            task: of a step, only its own events are given; the page is then shorter.
            after: begin behind this event; None for the oldest that is kept.
            count: how many events of the root are looked at.

        Raises:
            CursorExpired: events behind `after` are not kept any more.
        """
        ms, sequence = cursor_position(Cursor("0-0") if after is None else after)
        keys = [f"{KEY}events:{task.root}", f"{KEY}task:{task.root}"]
        async with self._turns:
            answer: Any = await self._history_page(keys=keys, args=[ms, sequence, count])
        trimmed, entries = answer
        if after is not None and trimmed and cursor_position(trimmed) > cursor_position(after):
            raise CursorExpired(after)
        pairs = [entry.split(" ", 1) for entry in entries]
        more_after = pairs[-1][0] if len(pairs) == count else None
        if task.id != task.root:  # before it is parsed: a workflow has events of many steps
            pairs = [(cursor, text) for cursor, text in pairs if f'"{task.id}"' in text]
        events = [event for cursor, text in pairs if (event := parse_event(cursor, text))]
        return EventPage([e for e in events if task.id in (task.root, e.id)], more_after)

    async def stream(self, after: Cursor, count: int = EVENTS_IN_PAGE) -> EventPage:
        """Read a page of the events of all tasks, oldest first.

        Raises:
            CursorExpired: events behind `after` are not kept any more.
        """
        ms, sequence = cursor_position(after)
        async with self._turns, self._redis.pipeline(transaction=False) as pipe:
            pipe.xrange(f"{KEY}events", f"({ms}-{sequence}", count=count)
            pipe.xrange(f"{KEY}events", count=1)  # last, lest it is trimmed between the two
            entries, oldest = await pipe.execute()
        for cursor, fields in oldest:
            if cursor_position(cursor) > cursor_position(after) and int(fields["number"]) > 1:
                raise CursorExpired(after)
        events = [e for cursor, fields in entries if (e := parse_event(cursor, fields["event"]))]
        return EventPage(events, entries[-1][0] if len(entries) == count else None)


def parse_event(cursor: str, text: str) -> Event | None:
    """Parse an event of the stream; one that cannot be read is logged: others must not suffer."""
    try:
        return Event.parse(cursor, text)
    except ValueError:
        logger.exception("Event %s cannot be read", cursor)
        return None


def encode_name(name: str) -> bytes:
    """Encode a name that comes from outside; with a lone surrogate in it, it names nothing."""
    return name.encode("utf-8", "surrogatepass")


def _graph(task_id: str, fields: dict[str, str]) -> Graph | StoredByAnotherRelease | None:
    try:
        return Graph.parse(fields) if fields else None
    except (KeyError, ValueError):  # pydantic's ValidationError is one, too
        logger.exception("The graph of workflow %s cannot be read", task_id)
        return StoredByAnotherRelease(TaskId(task_id))


def _record(task_id: str, fields: dict[str, str]) -> Record | None:
    try:
        return Record.read(fields | {"id": task_id}) if fields else None
    except ValidationError:
        logger.exception("Record %s cannot be read", task_id)
        return None

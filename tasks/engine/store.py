"""Reads of records, inputs, results and histories; each in one round trip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis

from tasks.engine.records import KEY, Cursor, Event, Graph, Record, position


class Store:
    """Reads of records over one asynchronous client (responses decoded)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def get(self, task_id: str) -> Record | None:
        """Read one record; None where no such task was ever accepted, or it was forgotten."""
        return (await self.get_many([task_id]))[0]

    async def get_many(self, ids: Iterable[str]) -> list[Record | None]:
        """Read records in the order of the ids, in one round trip."""
        ids = list(ids)
        hashes = await self._hashes(f"{KEY}task:{id_}" for id_ in ids)
        return [
            Record.model_validate(fields | {"id": id_}) if fields else None
            for id_, fields in zip(ids, hashes, strict=True)
        ]

    async def graphs(self, ids: Iterable[str]) -> list[Graph | None]:
        """Read workflows' graphs and counts; None for what is no workflow."""
        hashes = await self._hashes(f"{KEY}workflow:{id_}" for id_ in ids)
        return [Graph.parse(fields) if fields else None for fields in hashes]

    async def inputs(self, ids: Iterable[str]) -> list[dict[str, Any] | None]:
        """Read the arguments that tasks were given, the sensitive ones left out."""
        return await self._documents(f"{KEY}input:{id_}" for id_ in ids)

    async def metas(self, ids: Iterable[str]) -> list[dict[str, Any] | None]:
        """Read Celery's own result metas."""
        return await self._documents(f"celery-task-meta-{id_}" for id_ in ids)

    async def _hashes(self, keys: Iterable[str]) -> list[dict[str, str]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hgetall(key)
            hashes: list[dict[str, str]] = await pipe.execute()
        return hashes

    async def _documents(self, keys: Iterable[str]) -> list[dict[str, Any] | None]:
        texts = await self._redis.mget(list(keys))
        return [None if text is None else json.loads(text) for text in texts]

    async def newest_cursor(self) -> Cursor:
        """Read the position of the newest event of all."""
        newest: Any = await self._redis.xrevrange(f"{KEY}events", count=1)
        return Cursor(newest[0][0] if newest else "0-0")

    async def history(self, root: str, after: Cursor | None = None) -> list[Event]:
        """Read the events of a root and its steps, oldest first, those after a cursor."""
        entries: Any = await self._redis.lrange(f"{KEY}events:{root}", 0, -1)
        pairs = [entry.split(" ", 1) for entry in entries]
        seen = position(after) if after is not None else (0, 0)
        return [Event.parse(cursor, text) for cursor, text in pairs if position(cursor) > seen]

"""Listing: pages of records, newest first, filtered within a bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from tasks.engine.records import KEY, Record, TaskState
from tasks.engine.store import Store

_CHUNK = 200  # records fetched in one round trip
_SCAN_MAX = 2_000  # records looked at for one page; the page then ends and says there is more


@dataclass(frozen=True)
class Filter:
    """What a listed task must match; an empty part matches all."""

    states: frozenset[TaskState] = frozenset()
    definitions: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()

    def matches(self, record: Record) -> bool:
        """Tell whether a record passes every part."""
        return (
            (not self.states or record.state in self.states)
            and (not self.definitions or record.definition in self.definitions)
            and (not self.queues or record.queue in self.queues)
            and self.tags <= set(record.tags)
        )


@dataclass(frozen=True, order=True)
class Place:
    """Where a task stands in the listing: by creation, then by id."""

    score: int
    task_id: str

    def __str__(self) -> str:
        return f"{self.score}:{self.task_id}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read a page cursor.

        Raises:
            ValueError: it is none of ours.
        """
        score, _, task_id = text.partition(":")
        return cls(int(score), task_id)


@dataclass(frozen=True)
class Page:
    """Tasks in listing order, newest first, with their places.

    Attributes:
        resume: go on behind this place; None where the end was reached.
    """

    items: list[tuple[Place, Record]] = field(default_factory=list)
    resume: Place | None = None

    @property
    def has_more(self) -> bool:
        """Whether there may be more."""
        return self.resume is not None


async def list_page(
    redis: Redis,
    owner: str | None,
    filter_: Filter,
    *,
    size: int,
    beyond: Place | None = None,
    towards_newer: bool = False,
) -> Page:
    """Read one page of matching tasks.

    Args:
        redis: a client that decodes its responses.
        owner: whose tasks; None for everyone's.
        filter_: what they must match.
        size: 1 or more.
        beyond: start behind this place; None for the very end.
        towards_newer: read from old to new, and turn the page round at the end.

    Returns:
        A page; it may be short, and have more, where the search bound was reached first.
    """
    key = f"{KEY}tasks" if owner is None else f"{KEY}tasks:{owner}"
    found: list[tuple[Place, Record]] = []
    looked_at = 0
    while looked_at < _SCAN_MAX:
        places, is_end = await _places(redis, key, beyond, towards_newer=towards_newer)
        records = await Store(redis).get_many(place.task_id for place in places)
        pairs = zip(places, records, strict=True)
        found += [(place, r) for place, r in pairs if r is not None and filter_.matches(r)]
        if len(found) > size:
            return _page(found[:size], found[size - 1][0], towards_newer=towards_newer)
        if is_end:
            return _page(found, None, towards_newer=towards_newer)
        looked_at += len(places)
        beyond = places[-1]
    return _page(found, beyond, towards_newer=towards_newer)


def _page(found: list[tuple[Place, Record]], resume: Place | None, *, towards_newer: bool) -> Page:
    return Page(found[::-1] if towards_newer else found, resume)


async def _places(
    redis: Redis, key: str, beyond: Place | None, *, towards_newer: bool
) -> tuple[list[Place], bool]:
    """Read the next places, and whether they are the last."""
    edge = "+inf" if beyond is None else beyond.score
    if towards_newer:
        edge = "-inf" if beyond is None else beyond.score
        rows: Any = await redis.zrangebyscore(key, edge, "+inf", 0, _CHUNK, withscores=True)
    else:
        rows = await redis.zrevrangebyscore(key, edge, "-inf", 0, _CHUNK, withscores=True)
    places = [Place(int(score), member) for member, score in rows]
    is_end = len(places) < _CHUNK
    if beyond is not None:
        places = [p for p in places if (p > beyond if towards_newer else p < beyond)]
    return places, is_end

"""Listing: pages of records, newest first, filtered within a bound."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from celeryql.records import KEY, Record, TaskState
from celeryql.state.store import Store, encode_name
from celeryql.state.visibility import EVERYTHING, Visibility

_CHUNK = 200  # records fetched in one round trip
_SPARE = 10  # tasks beyond a page: one tells that there are more, some may have been forgotten
_SCAN_MAX = 2_000  # records looked at for one page; the page then ends and says there is more
# Tasks accepted together have one time of creation, but each a place of its own in the listing, one
# behind the other: this is more than the steps of a workflow or the items of a batch.
_SPREAD_US = 100_000
_CURSOR = re.compile(r"([0-9]{1,17}):(.+)", re.DOTALL)  # a score, and the id of a task


@dataclass(frozen=True)
class RecordFilter:
    """What a task must match: one of each set that is not None, and all tags."""

    ids: frozenset[str] | None = None
    states: frozenset[TaskState] | None = None
    definitions: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    tags: frozenset[str] = frozenset()
    created_after: datetime | None = None
    created_before: datetime | None = None
    top_level_only: bool = False
    visibility: Visibility = EVERYTHING

    def matches(self, record: Record, state: TaskState) -> bool:
        """Tell whether a task passes every part; only its state changes in its life."""
        return (
            self.visibility.allows(record)
            and _is_among(state, self.states)
            and _is_among(record.id, self.ids)
            and _is_among(record.definition, self.definitions)
            and _is_among(record.queue, self.queues)
            and self.tags <= set(record.tags)
            and (self.created_after is None or record.created_at > self.created_after)
            and (self.created_before is None or record.created_at < self.created_before)
            and (not self.top_level_only or record.root == record.id)
        )

    @property
    def is_empty(self) -> bool:
        """Whether no task can match."""
        return frozenset() in (self.ids, self.states, self.definitions, self.queues)

    @property
    def scores(self) -> tuple[float, float]:
        """The part of the listing, in microseconds, outside which nothing can match."""
        after, before = self.created_after, self.created_before
        return (
            after.timestamp() * 1e6 if after else float("-inf"),
            before.timestamp() * 1e6 + _SPREAD_US if before else float("inf"),
        )


def _is_among(value: str | None, wanted: frozenset[str] | None) -> bool:
    return wanted is None or value in wanted


@dataclass(frozen=True, order=True)
class ListingPosition:
    """Where a task stands in the listing: by creation, then by id."""

    score: int
    task_id: str

    def __str__(self) -> str:
        return f"{self.score}:{self.task_id}"

    @classmethod
    def parse(cls, text: str) -> ListingPosition:
        """Read a page cursor.

        Raises:
            ValueError: it is none of ours.
        """
        if not (parts := _CURSOR.fullmatch(text)):
            raise ValueError(f"{text!r} is no page cursor")
        return cls(int(parts[1]), parts[2])


@dataclass(frozen=True)
class RecordPage:
    """Tasks in listing order, newest first, with their places.

    Attributes:
        resume: go on behind this place; None where the end was reached.
    """

    items: list[tuple[ListingPosition, Record]] = field(default_factory=list)
    resume: ListingPosition | None = None

    @property
    def has_more(self) -> bool:
        """Whether there may be more."""
        return self.resume is not None


async def list_page(
    redis: Redis,
    store: Store,
    owner: str | None,
    filter_: RecordFilter,
    *,
    size: int,
    beyond: ListingPosition | None = None,
    towards_newer: bool = False,
) -> RecordPage:
    """Read one page of matching tasks.

    Args:
        redis: where the listings are.
        store: where the records are.
        owner: whose tasks; None for everyone's.
        filter_: what they must match.
        size: 1 or more.
        beyond: start behind this place; None for the very end.
        towards_newer: read from old to new, and turn the page round at the end.

    Returns:
        A page; it may be short, and have more, where the search bound was reached first.
    """
    key = f"{KEY}tasks" if owner is None else f"{KEY}tasks:{owner}"
    listing = _Listing(redis, store, key, filter_, towards_newer)
    found: list[tuple[ListingPosition, Record]] = []
    looked_at, count = 0, min(size + _SPARE, _CHUNK)  # most pages are full at once
    while looked_at < _SCAN_MAX:
        places, is_end = await listing.places(beyond, count)
        found += await listing.matching(places)
        if len(found) > size:
            return listing.page(found[:size], found[size - 1][0])
        if is_end:
            return listing.page(found, None)
        looked_at += len(places)
        beyond, count = places[-1], _CHUNK
    return listing.page(found, beyond)


@dataclass(frozen=True)
class _Listing:
    """One owner's tasks, or everyone's, in the direction that they are read in."""

    redis: Redis
    store: Store
    key: str
    filter: RecordFilter
    towards_newer: bool

    async def places(
        self, beyond: ListingPosition | None, count: int
    ) -> tuple[list[ListingPosition], bool]:
        """Read so many of the next places that the filter allows, and whether they are the last."""
        if self.filter.is_empty:
            return [], True
        if self.filter.ids is not None:
            places, is_end = await self._named(self.filter.ids), True
        else:
            places = await self._in_range(beyond, count)
            is_end = len(places) < count
        if beyond is not None:
            places = [p for p in places if (p > beyond if self.towards_newer else p < beyond)]
        return places, is_end

    async def matching(self, places: list[ListingPosition]) -> list[tuple[ListingPosition, Record]]:
        """Read the records of places, and keep those that pass the filter."""
        read = await self.store.get_existing(place.task_id for place in places)
        records: dict[str, Record] = {record.id: record for record in read}
        pairs = [(place, r) for place in places if (r := records.get(place.task_id))]
        return [(place, r) for place, r in pairs if self.filter.matches(r, r.state)]

    def page(
        self, found: list[tuple[ListingPosition, Record]], resume: ListingPosition | None
    ) -> RecordPage:
        """Put what was found into the order of the listing."""
        return RecordPage(found[::-1] if self.towards_newer else found, resume)

    async def _named(self, wanted: frozenset[str]) -> list[ListingPosition]:
        ids = list(wanted)
        members: Any = [encode_name(id_) for id_ in ids]
        scores: Any = await self.redis.zmscore(self.key, members)
        pairs = zip(scores, ids, strict=True)
        places = [ListingPosition(int(score), id_) for score, id_ in pairs if score is not None]
        return sorted(places, reverse=not self.towards_newer)

    async def _in_range(self, beyond: ListingPosition | None, count: int) -> list[ListingPosition]:
        lowest, highest = self.filter.scores
        if self.towards_newer:
            lowest = lowest if beyond is None else max(lowest, beyond.score)
            read = self.redis.zrangebyscore(self.key, lowest, highest, 0, count, withscores=True)
        else:
            highest = highest if beyond is None else min(highest, beyond.score)
            read = self.redis.zrevrangebyscore(self.key, highest, lowest, 0, count, withscores=True)
        rows: Any = await read
        return [ListingPosition(int(score), member) for member, score in rows]

"""Lists records in pages, newest first; a filter looks at a bounded number of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from celeryql.records import KEY, Record, TaskState
from celeryql.state.store import Store, encode_name
from celeryql.state.visibility import EVERYTHING, Visibility

_CHUNK = 200  # records read in one round trip
_SPARE = 10  # more than a page: one shows that there is a next page, some may have expired
_SCAN_MAX = 2_000  # records looked at for one page, which may be short for that reason
# Tasks that were accepted together have one creation time, but consecutive scores in the listing.
# This is more than the steps of a workflow or the items of a batch.
_SPREAD_US = 100_000
_CURSOR = re.compile(r"([0-9]{1,17}):(.+)", re.DOTALL)  # a score and a task id


@dataclass(frozen=True)
class RecordFilter:
    """What a record must match: a member of each set that is not None, and all tags."""

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
        """Return whether a record matches in a state; the other filtered fields never change."""
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
        """Whether no record can match."""
        return frozenset() in (self.ids, self.states, self.definitions, self.queues)

    @property
    def scores(self) -> tuple[float, float]:
        """The lowest and the highest score that can match, in microseconds."""
        after, before = self.created_after, self.created_before
        return (
            after.timestamp() * 1e6 if after else float("-inf"),
            before.timestamp() * 1e6 + _SPREAD_US if before else float("inf"),
        )


def _is_among(value: str | None, wanted: frozenset[str] | None) -> bool:
    return wanted is None or value in wanted


@dataclass(frozen=True, order=True)
class ListingPosition:
    """The position of a task in the listing: by creation time, then by id."""

    score: int
    task_id: str

    def __str__(self) -> str:
        return f"{self.score}:{self.task_id}"

    @classmethod
    def parse(cls, text: str) -> ListingPosition:
        """Parse a page cursor.

        Raises:
            ValueError: it is malformed.
        """
        if not (parts := _CURSOR.fullmatch(text)):
            raise ValueError(f"{text!r} is not a page cursor")
        return cls(int(parts[1]), parts[2])


@dataclass(frozen=True)
class RecordPage:
    """Records, newest first, with their positions.

    Attributes:
        resume: where the next page begins; None at the end of the listing.
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
    """Read one page of matching records.

    Args:
        redis: holds the listings.
        store: reads the records.
        owner: the owner of the tasks; None for all owners.
        filter_: what the records must match.
        size: how many records the page has at most, 1 or more.
        beyond: begin after this position; None to begin at the end of the listing.
        towards_newer: read from old to new; the page still has the newest record first.

    Returns:
        The page; it can be short although there is a next page, if the search bound was reached.
    """
    key = f"{KEY}tasks" if owner is None else f"{KEY}tasks:{owner}"
    return await _Listing(redis, store, key, filter_, towards_newer).page(size, beyond)


@dataclass(frozen=True)
class _Listing:
    """The listing of one owner or of all, read in one direction."""

    redis: Redis
    store: Store
    key: str
    filter: RecordFilter
    towards_newer: bool

    async def page(self, size: int, beyond: ListingPosition | None) -> RecordPage:
        """Read chunks until the page is full, the listing ends or the search bound is reached."""
        found: list[tuple[ListingPosition, Record]] = []
        looked_at, count = 0, min(size + _SPARE, _CHUNK)  # usually enough for the whole page
        while looked_at < _SCAN_MAX:
            positions, is_end = await self._positions(beyond, count)
            found += await self._matching(positions)
            if len(found) > size:
                return self._page(found[:size], found[size - 1][0])
            if is_end:
                return self._page(found, None)
            looked_at += len(positions)
            beyond, count = positions[-1], _CHUNK
        return self._page(found, beyond)

    async def _positions(
        self, beyond: ListingPosition | None, count: int
    ) -> tuple[list[ListingPosition], bool]:
        """Read the next positions that can match, and whether they are the last."""
        if self.filter.is_empty:
            return [], True
        if self.filter.ids is not None:
            positions, is_end = await self._named(self.filter.ids), True
        else:
            positions = await self._in_range(beyond, count)
            is_end = len(positions) < count
        if beyond is not None:
            is_newer = self.towards_newer
            positions = [p for p in positions if (p > beyond if is_newer else p < beyond)]
        return positions, is_end

    async def _matching(
        self, positions: list[ListingPosition]
    ) -> list[tuple[ListingPosition, Record]]:
        """Read the records at some positions, and keep those that match the filter."""
        read = await self.store.get_existing(position.task_id for position in positions)
        records: dict[str, Record] = {record.id: record for record in read}
        pairs = [(p, r) for p in positions if (r := records.get(p.task_id))]
        return [(p, r) for p, r in pairs if self.filter.matches(r, r.state)]

    def _page(
        self, found: list[tuple[ListingPosition, Record]], resume: ListingPosition | None
    ) -> RecordPage:
        """Return a page, newest first."""
        return RecordPage(found[::-1] if self.towards_newer else found, resume)

    async def _named(self, wanted: frozenset[str]) -> list[ListingPosition]:
        ids = list(wanted)
        members: Any = [encode_name(id_) for id_ in ids]
        scores: Any = await self.redis.zmscore(self.key, members)
        pairs = zip(scores, ids, strict=True)
        found = [ListingPosition(int(score), id_) for score, id_ in pairs if score is not None]
        return sorted(found, reverse=not self.towards_newer)

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

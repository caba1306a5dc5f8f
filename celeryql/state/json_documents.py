"""Reads the JSON documents of tasks, of any size: what they were given, and Celery's result metas.

The size is looked at first. A small document is read whole. A large one is parsed in a thread, and
of a large list no more is read than is asked for: Celery and this project write JSON in ASCII, so
an offset in the text is one in Redis.
"""

from __future__ import annotations

import asyncio
import json
import re
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from redis.asyncio import Redis

from celeryql.errors import DocumentTooLarge
from celeryql.records import KEY

T = TypeVar("T")

SMALL_BYTES = 8_192  # made an answer on the event loop: 300 small objects take 12 ms
_BLOCK_BYTES = 262_144  # of a large list: 10,000 small items, which take 20 ms of the thread
_VALUES = 10  # texts and numbers take as long as one object
_READS_AT_ONCE = 8  # each holds a connection
_PLACES_KEPT = 100  # documents; of one of 100 MB, 400 places

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \n\r\t]*")
_BEHIND_ITEM = re.compile(r"[ \n\r\t]*([,\]])")


def input_key(task_id: str) -> str:
    """Name what a task was given, the sensitive arguments left out."""
    return f"{KEY}input:{task_id}"


def meta_key(task_id: str) -> str:
    """Name Celery's own result meta of a task."""
    return f"celery-task-meta-{task_id}"


@dataclass(frozen=True)
class JsonDocument:
    """A JSON document; its text is there where it is small."""

    key: str
    size_bytes: int
    text: str | None = None


class JsonDocumentReader:
    """Reads documents over one asynchronous client."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # One: each thread that computes has the event loop wait for 5 ms whenever it goes on.
        self._thread = ThreadPoolExecutor(1, "documents")
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)
        self._places: OrderedDict[str, list[tuple[int, int]]] = OrderedDict()

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False)

    async def find(self, keys: Sequence[str], most_bytes: float) -> list[JsonDocument | None]:
        """Look documents up, and read those that are small, as many as the bytes allow."""
        async with self._reads:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.strlen(key)
                sizes: list[int] = await pipe.execute()
            read: list[str] = []
            for key, size in zip(keys, sizes, strict=True):
                if 0 < size <= min(SMALL_BYTES, most_bytes):
                    most_bytes -= size
                    read.append(key)
            found: Any = await self._redis.mget(read) if read else []
        texts = dict(zip(read, found, strict=True))
        return [
            JsonDocument(key, size, texts.get(key)) if size else None
            for key, size in zip(keys, sizes, strict=True)
        ]

    async def value(self, document: JsonDocument, most: float) -> Any:
        """Parse a whole document.

        Args:
            document: as it was found.
            most: objects that it may have; ten texts or numbers count as one.

        Raises:
            DocumentTooLarge: it has more.
            ValueError: it is no JSON.
        """
        if document.text is not None:
            return json.loads(document.text)
        async with self._reads:
            text: Any = await self._redis.get(document.key)
        return None if text is None else await self.run_in_thread(partial(_parse, text, most))

    async def items(
        self,
        document: JsonDocument,
        name: str,
        after: int,
        count: int,
        charge: Callable[[int], None],
    ) -> list[Any] | None:
        """Read items of a list that a large document has as a member.

        Args:
            document: as it was found.
            name: of the member.
            after: how many items are left out.
            count: how many are read at most.
            charge: called with the bytes that the items take; what it raises ends the reading.

        Returns:
            The items; None where the member is no list.

        Raises:
            ValueError: it is no JSON.
        """
        index, start = self._nearest(document.key, after)
        found: list[Any] = []
        size, is_end = _BLOCK_BYTES, False
        while len(found) < count and not is_end:
            text = await self._read(document.key, start, size)
            if not text:  # it has passed retention
                break
            begin = 0 if start else _begin(text, name)
            if begin is None:
                return None
            wanted = max(after - index, 0) + count - len(found)
            items, end, is_end = await self.run_in_thread(partial(_take, text, begin, wanted))
            if not items and not is_end:
                if start + size >= document.size_bytes:
                    raise ValueError("The document breaks off")
                charge(size)
                size *= 2  # for an item that is larger
                continue
            wanted_of_these = items[max(after - index, 0) :]
            charge((end - begin) * len(wanted_of_these) // max(len(items), 1))
            found += wanted_of_these
            index, start, size = index + len(items), start + end, _BLOCK_BYTES
            if not is_end:
                self._note(document.key, index, start)
        return found

    async def _read(self, key: str, start: int, size: int) -> str:
        async with self._reads:
            text: Any = await self._redis.getrange(key, start, start + size - 1)
        return str(text)

    async def run_in_thread(self, compute: Callable[[], T]) -> T:
        """Compute in the thread: little by little, so that it can be interrupted."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, compute)

    def _nearest(self, key: str, index: int) -> tuple[int, int]:
        """Give the last known item that is not behind an index, and where it begins."""
        places = self._places.get(key, [])
        behind = bisect_right(places, index, key=lambda place: place[0])
        return places[behind - 1] if behind else (0, 0)

    def _note(self, key: str, index: int, start: int) -> None:
        # A result is not changed once it is there: a later page can begin here.
        if start - self._nearest(key, index)[1] < _BLOCK_BYTES / 4:
            return
        insort(self._places.setdefault(key, []), (index, start))
        self._places.move_to_end(key)
        if len(self._places) > _PLACES_KEPT:
            self._places.popitem(last=False)


def _parse(text: str, most: float) -> Any:
    left = most

    def count(value: T, weight: float = 1) -> T:
        nonlocal left
        left -= weight
        if left < 0:
            raise DocumentTooLarge
        return value

    def counted(read: Callable[[str], T]) -> Callable[[str], T]:
        return lambda digits: count(read(digits), 1 / _VALUES)

    # There is no hook for texts, but `", "` is between two of them and never within one.
    count(None, text.count('", "') / _VALUES)
    # Each call of a hook is a chance for the event loop to go on.
    return json.loads(text, object_hook=count, parse_int=counted(int), parse_float=counted(float))


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _begin(text: str, name: str) -> int | None:
    """Find where the first item of a list begins; None where the member is no list."""
    at = text.index("{") + 1
    while True:
        key, at = _DECODER.raw_decode(text, _skip_space(text, at))
        at = _skip_space(text, text.index(":", at) + 1)
        if key == name:
            return at + 1 if text.startswith("[", at) else None
        at = text.index(",", _DECODER.raw_decode(text, at)[1]) + 1


def _take(text: str, at: int, most: int) -> tuple[list[Any], int, bool]:
    """Take whole items of a list from a text that may break off.

    Returns:
        The items, where the next one begins, and whether there is none.
    """
    items: list[Any] = []
    while len(items) < most:
        at = _skip_space(text, at)
        if text.startswith("]", at):
            return items, at, True
        try:
            item, end = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError:
            break
        behind = _BEHIND_ITEM.match(text, end)
        if behind is None:  # a number may go on
            break
        items.append(item)
        at = behind.end()
        if behind[1] == "]":
            return items, at, True
    return items, at, False

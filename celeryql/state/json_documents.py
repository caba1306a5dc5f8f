"""Reads the JSON documents of tasks, of any size: their inputs, and Celery's result metas.

Small documents are read whole on the event loop. Large ones are parsed in a thread, and only the
requested part of a large list is read. Celery and CeleryQL write JSON in ASCII, so an offset in the
text is also an offset in Redis.
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

SMALL_BYTES = 8_192  # as large as the event loop may handle: 300 small objects take 12 ms
_BLOCK_BYTES = 262_144  # read at once of a large list: 10,000 small items, which take 20 ms
_VALUES = 10  # texts and numbers that take as long as one object
_READS_AT_ONCE = 8  # each uses a connection
_DOCUMENTS_REMEMBERED = 100  # with offsets; one of 100 MB has 400

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \n\r\t]*")
_AFTER_ITEM = re.compile(r"[ \n\r\t]*([,\]])")


def input_key(task_id: str) -> str:
    """Return the key of a task's input, which lacks the sensitive arguments."""
    return f"{KEY}input:{task_id}"


def meta_key(task_id: str) -> str:
    """Return the key of Celery's result meta of a task."""
    return f"celery-task-meta-{task_id}"


@dataclass(frozen=True)
class JsonDocument:
    """A JSON document.

    Attributes:
        text: None if the document is large.
    """

    key: str
    size_bytes: int
    text: str | None = None


@dataclass(frozen=True)
class _Block:
    """Items of a list that were read together.

    Attributes:
        items: the items.
        size_bytes: the size of their text.
        end: offset of the next item in the document.
        is_end: there is no next item.
    """

    items: list[Any]
    size_bytes: int
    end: int
    is_end: bool


class JsonDocumentReader:
    """Reads JSON documents over one asynchronous client."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # One, because each busy thread delays the event loop by 5 ms whenever they switch.
        self._thread = ThreadPoolExecutor(1, "documents")
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)
        # By key, indexes of items and where they begin.
        self._offsets: OrderedDict[str, list[tuple[int, int]]] = OrderedDict()

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False)

    async def find(self, keys: Sequence[str], max_bytes: float) -> list[JsonDocument | None]:
        """Look up documents, and read the small ones until their sizes exceed a limit."""
        async with self._reads:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.strlen(key)
                sizes: list[int] = await pipe.execute()
            read: list[str] = []
            for key, size in zip(keys, sizes, strict=True):
                if 0 < size <= min(SMALL_BYTES, max_bytes):
                    max_bytes -= size
                    read.append(key)
            found: Any = await self._redis.mget(read) if read else []
        texts = dict(zip(read, found, strict=True))
        return [
            JsonDocument(key, size, texts.get(key)) if size else None
            for key, size in zip(keys, sizes, strict=True)
        ]

    async def value(self, document: JsonDocument, max_objects: float) -> Any:
        """Parse a whole document.

        Args:
            document: a document from `find`.
            max_objects: how many objects it may have; ten texts or numbers count as one.

        Raises:
            DocumentTooLarge: it has more.
            ValueError: it is not JSON.
        """
        if document.text is not None:
            return json.loads(document.text)
        async with self._reads:
            text: Any = await self._redis.get(document.key)
        return (
            None
            if text is None
            else await self.run_in_thread(partial(_parse_limited, text, max_objects))
        )

    async def items(
        self,
        document: JsonDocument,
        name: str,
        after: int,
        count: int,
        charge: Callable[[int], None],
    ) -> list[Any] | None:
        """Read items of a list that is a member of a large document.

        Args:
            document: a document from `find`.
            name: the name of the member.
            after: how many items to skip.
            count: how many to read at most.
            charge: called with the size of the items in bytes; it may raise to stop the reading.

        Returns:
            The items; None if the member is not a list.

        Raises:
            ValueError: the document is not JSON.
        """
        index, start = self._nearest(document.key, after)
        found: list[Any] = []
        is_end = False
        while len(found) < count and not is_end:
            skipped = max(after - index, 0)
            most = skipped + count - len(found)
            block = await self._read_block(document, name, start, most, charge)
            if block is None:
                return None
            wanted = block.items[skipped:]
            charge(block.size_bytes * len(wanted) // max(len(block.items), 1))
            found += wanted
            index, start, is_end = index + len(block.items), block.end, block.is_end
            if not is_end:
                self._remember(document.key, index, start)
        return found

    async def _read_block(
        self,
        document: JsonDocument,
        name: str,
        start: int,
        most: int,
        charge: Callable[[int], None],
    ) -> _Block | None:
        """Read one item or more from an offset; None if the member is not a list."""
        size = _BLOCK_BYTES
        while text := await self._read(document.key, start, size):
            begin = 0 if start else _list_start(text, name)
            if begin is None:
                return None
            items, end, is_end = await self.run_in_thread(partial(_parse_items, text, begin, most))
            if items or is_end:
                return _Block(items, end - begin, start + end, is_end)
            if start + size >= document.size_bytes:
                raise ValueError(f"The document {document.key} is cut off")
            charge(size)
            size *= 2  # for an item that is larger than the block
        return _Block([], 0, start, is_end=True)  # the document has expired

    async def _read(self, key: str, start: int, size: int) -> str:
        async with self._reads:
            text: Any = await self._redis.getrange(key, start, start + size - 1)
        return str(text)

    async def run_in_thread(self, compute: Callable[[], T]) -> T:
        """Run a function in the thread; it should let the event loop run often."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, compute)

    def _nearest(self, key: str, index: int) -> tuple[int, int]:
        """Return the last item up to an index whose offset is known, and that offset."""
        offsets = self._offsets.get(key, [])
        after = bisect_right(offsets, index, key=lambda entry: entry[0])
        return offsets[after - 1] if after else (0, 0)

    def _remember(self, key: str, index: int, start: int) -> None:
        # Inputs and results never change, so a later page can begin here.
        if start - self._nearest(key, index)[1] < _BLOCK_BYTES / 4:
            return
        insort(self._offsets.setdefault(key, []), (index, start))
        self._offsets.move_to_end(key)
        if len(self._offsets) > _DOCUMENTS_REMEMBERED:
            self._offsets.popitem(last=False)


def _parse_limited(text: str, max_objects: float) -> Any:
    left = max_objects

    def count(value: T, weight: float = 1) -> T:
        nonlocal left
        left -= weight
        if left < 0:
            raise DocumentTooLarge
        return value

    def counted(read: Callable[[str], T]) -> Callable[[str], T]:
        return lambda digits: count(read(digits), 1 / _VALUES)

    # There is no hook for texts. `", "` occurs only between two of them: a quote in one is escaped.
    count(None, text.count('", "') / _VALUES)
    # The event loop can run at each call of a hook.
    return json.loads(text, object_hook=count, parse_int=counted(int), parse_float=counted(float))


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _list_start(text: str, name: str) -> int | None:
    """Return the offset of a list's first item; None if the member is not a list."""
    at = text.index("{") + 1
    while True:
        key, at = _DECODER.raw_decode(text, _skip_space(text, at))
        at = _skip_space(text, text.index(":", at) + 1)
        if key == name:
            return at + 1 if text.startswith("[", at) else None
        at = text.index(",", _DECODER.raw_decode(text, at)[1]) + 1


def _parse_items(text: str, at: int, most: int) -> tuple[list[Any], int, bool]:
    """Parse the complete items of a list in a text that may be cut off.

    Returns:
        The items, the offset of the next one, and whether the list has ended.
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
        separator = _AFTER_ITEM.match(text, end)
        if separator is None:  # a number may be cut off here
            break
        items.append(item)
        at = separator.end()
        if separator[1] == "]":
            return items, at, True
    return items, at, False

"""What a resolver gets: who asks, the engine's parts, and loaders that batch reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import strawberry
from prometheus_client import Counter
from strawberry.dataloader import DataLoader

from celeryql.engine import Engine
from celeryql.records import Record
from celeryql.state.graph import Graph
from celeryql.state.json_documents import JsonDocument, input_key, meta_key
from celeryql.watching.queues_and_workers import QueueStatus, WorkerStatus
from graphql_api.api_errors import ApiError, ErrorCode
from graphql_api.auth.authenticator import Authenticator, Viewer
from graphql_api.execution.document_limits import DocumentLimits
from graphql_api.execution.fair_scheduling import FairScheduler
from graphql_api.execution.shared_answers import SharedAnswers
from graphql_api.observability.metrics import Metrics

T = TypeVar("T")

CHEAP = 0.1  # names or numbers take as long as a tenth of an object with fields
CHARACTERS = 1_000  # of text, which is copied several times on its way out, weigh as one item

#: Makes the GraphQL object of a record: of the type that was derived from its definition. Of a
#: step, the summary is of its workflow; of a workflow, its own; either as of an event.
Present = Callable[..., Any]


@dataclass(frozen=True)
class Services:
    """What one API process has for all operations."""

    engine: Engine
    present: Present
    authenticator: Authenticator
    metrics: Metrics

    @cached_property
    def document_limits(self) -> DocumentLimits:
        """The limits on documents."""
        return DocumentLimits.of(self.engine.settings)

    @cached_property
    def shared_answers(self) -> SharedAnswers:
        """The answers that subscribers share."""
        return SharedAnswers()

    @cached_property
    def scheduler(self) -> FairScheduler:
        """Lets busy operations take turns on the event loop."""
        return FairScheduler()


class Context:
    """What one operation has: one per HTTP request, and one per operation of a socket.

    The loaders batch what is asked for at once and keep nothing: a subscription lives through many
    events, and what it read before would be stale.

    Every record of one task comes from `records`, `known` or `watched`, which give none that the
    viewer may not see: it is as if there were no such task. What is found without its id (lists,
    all events) is held to the viewer's reach by the engine's filter.
    """

    delivered: Counter  # of events; set for subscriptions by `operation_metrics.py`

    def __init__(self, services: Services, viewer: Viewer) -> None:
        self.engine = services.engine
        self.present = services.present
        self.authenticator = services.authenticator
        self.metrics = services.metrics
        self.viewer = viewer
        self.document_limits = services.document_limits
        self.input_weight = 0.0  # of document and variables; set by `execution/documents.py`
        self.input_check_s = 0.0  # spent on the validation of input so far
        self.scheduler = services.scheduler
        self.shared_answers = services.shared_answers
        self.is_refused = False  # whether the answer holds an error that was expected
        self.is_redis_unavailable = False  # whether Redis did not answer a mutation
        self.begin_answer()

    # Loaders are made when they are asked for: most operations need none or one of them, and a
    # subscription would keep all for as long as it lives.

    @cached_property
    def records(self) -> Loader[Record | None]:
        """Records that the viewer may see, by id."""
        return _Records(self._load_records, self.reserve_items)

    @cached_property
    def result_metas(self) -> Loader[JsonDocument | None]:
        """Celery's result metas, by task id."""
        return Loader(partial(self._load_documents, meta_key))

    @cached_property
    def inputs(self) -> Loader[JsonDocument | None]:
        """What tasks were given, by id."""
        return Loader(partial(self._load_documents, input_key))

    @cached_property
    def large_read_lock(self) -> asyncio.Lock:
        """Held while a large document is read: what was read before has its place in the answer."""
        return asyncio.Lock()

    @cached_property
    def graphs(self) -> Loader[Graph | None]:
        """Graphs of workflows, by id."""
        return Loader(self.engine.store.graphs)

    @cached_property
    def queues(self) -> Loader[QueueStatus]:
        """Queues as they are, by name."""
        return Loader(self.engine.cluster_reader.queues)

    @cached_property
    def workers(self) -> Loader[list[WorkerStatus]]:
        """All workers, under any key."""
        return Loader(self._load_workers)

    def begin_answer(self) -> None:
        """Start to count anew: at an operation's beginning, and at each event."""
        self._left: float = self.engine.settings.max_answer_items
        self._bytes_left = self._left * CHARACTERS

    def reserve_items(self, count: float, *, is_refused: bool = True) -> None:
        """Count what an answer holds, before it is made.

        Args:
            count: items.
            is_refused: whether too much is refused, not only counted.

        Raises:
            ApiError: there is too much.
        """
        self._left -= count
        if is_refused and self._left < 0:
            raise ApiError(f"{self.too_large}: ask for less at a time", ErrorCode.BAD_USER_INPUT)

    def reserve_bytes(self, count: int) -> None:
        """Count what is read for an answer, before it is read.

        Raises:
            ApiError: there is too much.
        """
        self._bytes_left -= count
        if self._bytes_left < 0:
            most = self.engine.settings.max_answer_items * CHARACTERS
            text = f"More than {most:,} bytes of inputs and results would be read: ask for fewer"
            raise ApiError(text, ErrorCode.BAD_USER_INPUT)

    @property
    def items_left(self) -> float:
        """How many more items the answer may hold."""
        return self._left

    @property
    def too_large(self) -> str:
        """What is wrong with an answer that has no room."""
        return f"The answer would hold more than {self.engine.settings.max_answer_items:,} items"

    async def cached_record(self, task_id: str) -> Record | None:
        """Find what never changes of a task that an event tells of."""
        return self._visible(await self.engine.event_stream.record_cache.get(task_id))

    async def record_to_watch(self, task_id: str) -> Record | None:
        """Find a task to watch."""
        return self._visible(await self.engine.event_stream.find(task_id))

    def _visible(self, record: Record | None) -> Record | None:
        return record if record and self.viewer.may_see(record) else None

    async def _load_records(self, ids: list[str]) -> list[Record | None]:
        return [self._visible(record) for record in await self.engine.store.get_many(ids)]

    async def _load_documents(
        self, key_of: Callable[[str], str], ids: list[str]
    ) -> list[JsonDocument | None]:
        keys = [key_of(id_) for id_ in ids]
        found = await self.engine.documents.find(keys, self._bytes_left)
        self._bytes_left -= sum(len(document.text or "") for document in found if document)
        return found

    async def _load_workers(self, keys: list[str]) -> list[list[WorkerStatus]]:
        return [await self.engine.cluster_reader.workers()] * len(keys)


class Loader(DataLoader[str, T]):
    """Reads what is asked for many times at once, by aliases, once: it may be of megabytes."""

    def __init__(self, load: Callable[[list[str]], Awaitable[Sequence[T | BaseException]]]) -> None:
        async def load_each_once(keys: list[str]) -> list[T | BaseException]:
            asked = list(dict.fromkeys(keys))
            found = dict(zip(asked, await load(asked), strict=True))
            return [found[key] for key in keys]

        super().__init__(load_each_once, cache=False)


class _Records(Loader[Record | None]):
    """Counts what is asked for before it is read: a workflow of a thousand steps is one list."""

    def __init__(
        self,
        load: Callable[[list[str]], Awaitable[list[Record | None]]],
        take: Callable[[float], None],
    ) -> None:
        super().__init__(load)
        self._take = take

    def load(self, key: str) -> Awaitable[Record | None]:
        self._take(1)
        return super().load(key)


Info = strawberry.Info[Context, None]

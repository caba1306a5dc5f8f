"""The context of resolvers: the viewer, the engine, the size of the answer, and batched reads."""

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
from graphql_api.observability.metrics import Metrics

T = TypeVar("T")

CHEAP = 0.1  # the weight of a name or number, in objects with fields
CHARACTERS = 1_000  # of text, which is copied several times, weigh as much as one item

#: Creates the GraphQL object of a record, of the type that is derived from its definition. The
#: optional summary is the workflow's at the time of an event: of a step's, or of the record itself.
ToGraphQL = Callable[..., Any]


@dataclass(frozen=True)
class Services:
    """What all operations of one API process share."""

    engine: Engine
    to_graphql: ToGraphQL
    authenticator: Authenticator
    metrics: Metrics

    @cached_property
    def document_limits(self) -> DocumentLimits:
        """The limits on documents."""
        return DocumentLimits.of(self.engine.settings)

    @cached_property
    def scheduler(self) -> FairScheduler:
        """Lets busy operations take turns on the event loop."""
        return FairScheduler()


class Context:
    """The context of one operation: of an HTTP request, or of an operation of a WebSocket.

    The loaders batch reads and cache nothing: for the next event of a subscription, a cached value
    would be stale.

    Resolvers read a single record through `records`, `cached_record` or `record_to_watch`. These
    return None for a record that the viewer may not see, as for one that does not exist. For lists
    and for the events of all tasks, the engine filters by the viewer's visibility.
    """

    delivered: Counter  # of events; set for subscriptions by `operation_metrics.py`

    def __init__(self, services: Services, viewer: Viewer) -> None:
        self.engine = services.engine
        self.to_graphql = services.to_graphql
        self.authenticator = services.authenticator
        self.metrics = services.metrics
        self.viewer = viewer
        self.document_limits = services.document_limits
        self.input_weight = 0.0  # of document and variables; set by `execution/documents.py`
        self.input_check_s = 0.0  # spent on the validation of input so far
        self.scheduler = services.scheduler
        self.is_refused = False  # whether the answer has an expected error
        self.is_redis_unavailable = False  # whether Redis did not answer a mutation
        self.begin_answer()

    # Loaders are created on first use: most operations need at most one, and a subscription would
    # keep all of them until its end.

    @cached_property
    def records(self) -> BatchLoader[Record | None]:
        """Records that the viewer may see, by id."""
        return _RecordLoader(self._load_records, self.reserve_items)

    @cached_property
    def result_metas(self) -> BatchLoader[JsonDocument | None]:
        """Celery's result metas, by task id."""
        return BatchLoader(partial(self._load_documents, meta_key))

    @cached_property
    def inputs(self) -> BatchLoader[JsonDocument | None]:
        """The inputs of tasks, by task id."""
        return BatchLoader(partial(self._load_documents, input_key))

    @cached_property
    def large_read_lock(self) -> asyncio.Lock:
        """Held while a large document is read, so that its size counts before the next read."""
        return asyncio.Lock()

    @cached_property
    def graphs(self) -> BatchLoader[Graph | None]:
        """The graphs of workflows, by id."""
        return BatchLoader(self.engine.store.read_graphs)

    @cached_property
    def queues(self) -> BatchLoader[QueueStatus]:
        """The current state of queues, by name."""
        return BatchLoader(self.engine.cluster_reader.read_queues)

    @cached_property
    def workers(self) -> BatchLoader[list[WorkerStatus]]:
        """All workers, for any key."""
        return BatchLoader(self._load_workers)

    def begin_answer(self) -> None:
        """Reset the allowance: at the start of an operation, and for each event."""
        self._left: float = self.engine.settings.max_answer_items
        self._bytes_left = self._left * CHARACTERS

    def reserve_items(self, count: float, *, is_refused: bool = True) -> None:
        """Count items of the answer before they are created.

        Args:
            count: how many, weighted.
            is_refused: whether an excess is an error; else it is only counted.

        Raises:
            ApiError: the answer would be too large.
        """
        self._left -= count
        if is_refused and self._left < 0:
            raise ApiError(
                f"{self.too_large}: select fewer fields or items", ErrorCode.BAD_USER_INPUT
            )

    def reserve_bytes(self, count: int) -> None:
        """Count bytes of inputs and results before they are read.

        Raises:
            ApiError: the operation would read too much.
        """
        self._bytes_left -= count
        if self._bytes_left < 0:
            most = self.engine.settings.max_answer_items * CHARACTERS
            text = (
                f"More than {most:,} bytes of inputs and results would be read: "
                "request fewer inputs and results"
            )
            raise ApiError(text, ErrorCode.BAD_USER_INPUT)

    @property
    def items_left(self) -> float:
        """How many more items the answer may hold."""
        return self._left

    @property
    def too_large(self) -> str:
        """The start of the error message for an answer that is too large."""
        return f"The answer would hold more than {self.engine.settings.max_answer_items:,} items"

    async def cached_record(self, task_id: str) -> Record | None:
        """Find the task of an event; only the fields that never change are current."""
        return self._visible(await self.engine.event_stream.record_cache.get(task_id))

    async def record_to_watch(self, task_id: str) -> Record | None:
        """Find a task for a subscription."""
        return self._visible(await self.engine.event_stream.find_record(task_id))

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
        return [await self.engine.cluster_reader.read_workers()] * len(keys)


class BatchLoader(DataLoader[str, T]):
    """Reads each key of a batch once, even if aliases load it several times; it may be large."""

    def __init__(self, load: Callable[[list[str]], Awaitable[Sequence[T | BaseException]]]) -> None:
        async def load_each_once(keys: list[str]) -> list[T | BaseException]:
            unique_keys = list(dict.fromkeys(keys))
            found = dict(zip(unique_keys, await load(unique_keys), strict=True))
            return [found[key] for key in keys]

        super().__init__(load_each_once, cache=False)


class _RecordLoader(BatchLoader[Record | None]):
    """Counts records before they are read, since one list may load a thousand steps."""

    def __init__(
        self,
        load: Callable[[list[str]], Awaitable[list[Record | None]]],
        reserve: Callable[[float], None],
    ) -> None:
        super().__init__(load)
        self._reserve = reserve

    def load(self, key: str) -> Awaitable[Record | None]:
        self._reserve(1)
        return super().load(key)


Info = strawberry.Info[Context, None]

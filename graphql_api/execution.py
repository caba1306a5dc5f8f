"""How operations are executed: as graphql-core does, within bounds, with a leak of it closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sized
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    OperationType,
    get_named_type,
    is_leaf_type,
    is_non_null_type,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api.codes import ApiError, Code
from graphql_api.context import Info
from graphql_api.events import TaskEvent
from graphql_api.sizes import Measure

_CHEAP = 10  # names or numbers take as long as one object with fields
_FIELDS = 5  # fields, each of which is resolved, weigh as much as one item of a list
_CHARACTERS = 1_000  # of text, which is copied several times on its way out, do, too
_SHORT = 100  # characters of text weigh no more than the field that holds them
#: Its nullable fields do not show that something was accepted: a batch item has a task or an error.
_ITEM = "BatchItem"


def items_below(info: Info) -> float:
    """Count what an answer holds for each item of a list, by the fields that are selected of it."""
    raw = info._raw_info  # noqa: SLF001  # there is no public way
    document = DocumentNode(definitions=(raw.operation, *raw.fragments.values()))
    fields = Measure(document, info.context.policy.most).fields_below(raw.field_nodes)
    return 1 + fields / _FIELDS


@dataclass(frozen=True, slots=True)
class _Answered:
    """Stands for the executor of an event whose answer is there."""

    answer: ExecutionResult

    def execute_operation(self, _: bool | None) -> ExecutionResult:  # noqa: FBT001  # an executor's
        return self.answer


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Bounds how long a query takes, and how much an answer holds.

    What a document costs cannot be told from its text alone: a list within a list may have a
    thousand times a thousand items.

    What a mutation has accepted is always shown: a value is refused only below a nullable field,
    which is then null in its place. The rest is bounded by the document, and `enqueueBatch`
    checks its own size before it accepts anything.
    """

    _nullable: set[Path] | None = None  # positions of a mutation's answer that may be null

    def execute_field(
        self, parent_type: Any, source: Any, details: Any, path: Path, *rest: Any
    ) -> Any:
        """Note which positions of a mutation's answer may be null."""
        if self._nullable is not None and path.prev and parent_type.name != _ITEM:
            field = self.schema.get_field(parent_type, details[0].node.name.value)
            if field and not is_non_null_type(field.type):
                self._nullable.add(path)
        return super().execute_field(parent_type, source, details, path, *rest)

    def _take(self, path: Path | None, count: float) -> None:
        if self._nullable is None:
            self.context_value.take(count)
            return
        above = path
        while above and above not in self._nullable:
            above = above.prev
        self.context_value.take(count, is_refused=above is not None)

    def build_per_event_executor(self, payload: Any) -> Any:
        """Make the executor of one event, which begins anew; none where it was answered before.

        Whoever has the same object of an event has asked the same, and may see the same.

        graphql-core 3.3.2 shares the memo of a subscription's selections among its events, and
        finds nothing of it again, because it is kept by the identity of lists that each event makes
        anew: 2.6 kB an event, for as long as the subscription lasts.
        """
        self.context_value.delivered.inc()
        if isinstance(payload, TaskEvent) and payload.answer:
            return _Answered(payload.answer)
        executor = super().build_per_event_executor(payload)
        executor._relevant_sub_fields = {}  # noqa: SLF001  # there is no public way
        executor.context_value.begin_answer()
        return executor

    def complete_list_value(self, return_type: Any, nodes: Any, info: Any, *rest: Any) -> Any:
        """Count items before any of them is looked at.

        Raises:
            ApiError: there are too many.
        """
        path, result, _ = rest
        if isinstance(result, Sized):
            is_cheap = is_leaf_type(get_named_type(return_type))
            self._take(path, len(result) / (_CHEAP if is_cheap else 1))
        return super().complete_list_value(return_type, nodes, info, *rest)

    def complete_leaf_value(self, return_type: Any, result: Any) -> Any:  # type: ignore[override]  # it is called on an executor
        """Count the characters of a text: each alias of its field has it once more.

        Raises:
            ApiError: there are too many.
        """
        if isinstance(result, str) and len(result) > _SHORT:
            self.context_value.take(len(result) / _CHARACTERS)
        return super().complete_leaf_value(return_type, result)

    def execute_fields(self, parent_type: Any, source: Any, path: Any, fields: Any, _: Any) -> Any:
        """Count fields before any of them is resolved: an object may have hundreds, by aliases.

        Raises:
            ApiError: there are too many.
        """
        self._take(path, len(fields) / _FIELDS)
        return super().execute_fields(parent_type, source, path, fields, _)

    def execute_operation(self, serially: bool | None = None) -> Any:  # noqa: FBT001  # its signature
        """Execute the operation; a query only for so long.

        An answer that waited for nothing holds nothing that was read for it: it is the event's.
        """
        if self.operation.operation is OperationType.MUTATION:
            self._nullable = set()
        result = super().execute_operation(serially)
        if isawaitable(result):
            is_query = self.operation.operation is OperationType.QUERY
            return self._in_time(result) if is_query else result
        if isinstance(self.root_value, TaskEvent) and isinstance(result, ExecutionResult):
            self.root_value.answer = None if result.errors else result
        return result

    async def _in_time(self, result: Awaitable[Any]) -> Any:
        most_s = self.context_value.engine.settings.query_timeout_s
        try:
            async with asyncio.timeout(most_s) as timeout:
                return await result
        except TimeoutError:
            if not timeout.expired():
                raise
            text = f"The query took longer than {most_s:g} s: ask for less at a time"
            raise ApiError(text, Code.UNAVAILABLE) from None

"""Execution of operations: graphql-core with a timeout, size limits and fair scheduling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sized
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationType,
    get_named_type,
    is_leaf_type,
    is_non_null_type,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api.api_errors import FIELD_ERRORS_MAX, ApiError, ErrorCode
from graphql_api.execution.context import CHARACTERS, CHEAP, Info
from graphql_api.execution.document_limits import DocumentMeasure
from graphql_api.execution.shared_answers import SharedAnswer
from graphql_api.execution.stored_values import LargeValue

_FIELDS_PER_ITEM = 5  # resolving so many fields takes as long as one item of a list
# So many items of a list, or awaited fields of objects, take some milliseconds.
_OBJECTS_AT_ONCE, _LEAVES_AT_ONCE = 50, 1_000
_AWAITED_AT_ONCE = 200
_SHORT = 100  # characters of text, which cost no more than the field that holds them
#: A batch item has a task or an error, so its nullable fields do not show what was accepted.
_BATCH_ITEM = "BatchItem"

_OMITTED = GraphQLError("This error is left out")  # counted, but never shown


def weigh_item(info: Info) -> float:
    """Weigh each item of a list in the answer, by the number of its selected fields."""
    raw = info._raw_info  # noqa: SLF001  # there is no public way
    document = DocumentNode(definitions=(raw.operation, *raw.fragments.values()))
    fields = DocumentMeasure(document, info.context.document_limits.size).fields_below(
        raw.field_nodes
    )
    return 1 + fields / _FIELDS_PER_ITEM


@dataclass(frozen=True, slots=True, eq=False)
class _LazyCompletion:
    """Completes a list when it is awaited; a coroutine would warn if it is never awaited.

    graphql-core does not await the siblings of a value that raised an error.
    """

    complete: Callable[[], Any]

    def __await__(self) -> Generator[Any, None, Any]:
        completed: Generator[Any, None, Any] = self.complete().__await__()
        return completed


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Limits the time of a query and the size of every answer.

    The document alone does not show the size: a list of lists may have a thousand times a thousand
    items. So items are counted during execution.

    A mutation always shows what it accepted: a value above the limit is an error only below a
    nullable field, which is then null. The limits on documents bound the rest, and `enqueueBatch`
    checks the size of its answer before it accepts tasks.
    """

    _nullable: set[Path] | None = None  # nullable positions in a mutation's answer
    _awaited = 0  # fields of objects that were awaited so far
    shared_answer: SharedAnswer | None = None  # of the event that is executed

    def execute_field(
        self, parent_type: Any, source: Any, details: Any, path: Path, *rest: Any
    ) -> Any:
        """Note the nullable positions in a mutation's answer."""
        if self._nullable is not None and path.prev and parent_type.name != _BATCH_ITEM:
            field = self.schema.get_field(parent_type, details[0].node.name.value)
            if field and not is_non_null_type(field.type):
                self._nullable.add(path)
        return super().execute_field(parent_type, source, details, path, *rest)

    def _reserve(self, path: Path | None, count: float) -> None:
        if self._nullable is None:
            self.context_value.reserve_items(count)
            return
        above = path
        while above and above not in self._nullable:
            above = above.prev
        self.context_value.reserve_items(count, is_refused=above is not None)

    def handle_field_error(
        self, raw_error: Exception, return_type: Any, details: Any, path: Path
    ) -> None:
        """Report the first errors of fields, each with one location; only count the others.

        Raises:
            GraphQLError: the field is not nullable, so its parent becomes null.
        """
        if len(self.collected_errors.errors) < FIELD_ERRORS_MAX:
            super().handle_field_error(raw_error, return_type, details[:1], path)
        elif is_non_null_type(return_type):
            raise GraphQLError(_OMITTED.message)
        else:
            self.collected_errors.add(_OMITTED, path)

    def build_per_event_executor(self, payload: Any) -> Any:
        """Make the executor of one event, with a new allowance; a shared answer needs none.

        graphql-core 3.3.2 leaks 2.6 kB for each event of a subscription: all of its events share a
        cache of selections, whose keys are the identities of lists that each event creates.
        """
        self.context_value.delivered.inc()
        is_shared = isinstance(payload, SharedAnswer)
        if is_shared and payload.result:
            return payload
        executor: Any = super().build_per_event_executor(payload.event if is_shared else payload)
        executor.shared_answer = payload if is_shared else None
        executor._relevant_sub_fields = {}  # noqa: SLF001  # there is no public way
        executor.context_value.begin_answer()
        return executor

    def complete_list_value(self, return_type: Any, nodes: Any, info: Any, *rest: Any) -> Any:
        """Count the items of a list before any of them is completed.

        Raises:
            ApiError: the answer has too many items.
        """
        path, result, context = rest
        if isinstance(result, Sized):
            is_cheap = is_leaf_type(get_named_type(return_type))
            self._reserve(path, len(result) * (CHEAP if is_cheap else 1))
            if len(result) > (_LEAVES_AT_ONCE if is_cheap else _OBJECTS_AT_ONCE) and _is_on_loop():
                items = self._yielding(result)
                complete = super().complete_list_value
                return _LazyCompletion(
                    partial(complete, return_type, nodes, info, path, items, context)
                )
        return super().complete_list_value(return_type, nodes, info, *rest)

    async def _yielding(self, items: Sized) -> AsyncIterator[Any]:
        """Yield items one by one; other operations run in between."""
        for item in items:  # type: ignore[attr-defined]  # it is a list or a tuple
            await self.context_value.scheduler.yield_if_busy()
            yield item

    def complete_value(
        self, return_type: Any, nodes: Any, info: Any, path: Path, result: Any, context: Any
    ) -> Any:
        """Complete a large stored value in a thread, because that needs no event loop."""
        complete = super().complete_value
        if type(result) is not LargeValue:
            return complete(return_type, nodes, info, path, result, context)
        plain = partial(complete, return_type, nodes, info, path, result.value, context)
        return self.context_value.engine.documents.run_in_thread(plain)

    def complete_leaf_value(self, return_type: Any, result: Any) -> Any:  # type: ignore[override]  # it is called on an executor
        """Count the characters of a text, which each alias of its field repeats.

        Raises:
            ApiError: the answer has too many characters.
        """
        if isinstance(result, str) and len(result) > _SHORT:
            self.context_value.reserve_items(len(result) / CHARACTERS)
        return super().complete_leaf_value(return_type, result)

    def execute_fields(self, parent_type: Any, source: Any, path: Any, fields: Any, _: Any) -> Any:
        """Count fields before any of them is resolved: aliases can give an object hundreds.

        Raises:
            ApiError: the answer has too many fields.
        """
        self._reserve(path, len(fields) / _FIELDS_PER_ITEM)
        executed = super().execute_fields(parent_type, source, path, fields, _)
        if not isawaitable(executed):
            return executed
        self._awaited += len(fields)
        return self._await_fairly(executed) if self._awaited > _AWAITED_AT_ONCE else executed

    async def _await_fairly(self, executed: Awaitable[Any]) -> Any:
        """Await the fields of one object of many; other operations run before it."""
        await self.context_value.scheduler.yield_if_busy()
        return await executed

    def execute_operation(self, serially: bool | None = None) -> Any:  # noqa: FBT001  # its signature
        """Execute the operation; a query has a timeout.

        An answer that did not wait for anything has read nothing, so subscribers can share it.
        """
        if self.operation.operation is OperationType.MUTATION:
            self._nullable = set()
        result = super().execute_operation(serially)
        if isawaitable(result):
            is_query = self.operation.operation is OperationType.QUERY
            return self._await_in_time(result) if is_query else result
        if self.shared_answer and isinstance(result, ExecutionResult):
            self.shared_answer.keep(result)
        return result

    async def _await_in_time(self, result: Awaitable[Any]) -> Any:
        most_s = self.context_value.engine.settings.query_timeout_s
        try:
            async with asyncio.timeout(most_s) as timeout:
                return await result
        except TimeoutError:
            if not timeout.expired():
                raise
            text = f"The query took longer than {most_s:g} s: select fewer fields or items"
            raise ApiError(text, ErrorCode.UNAVAILABLE) from None

"""Counts and times each operation, by its type, its root field and its outcome.

Operations are never labeled by their names: clients choose those, and a label of a metric must
have few values. The root field names an operation in metrics and traces instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from time import perf_counter
from typing import NamedTuple

from graphql import FieldNode, GraphQLError, get_operation_ast
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types import ExecutionContext

from graphql_api.api_errors import ErrorCode

OK, REFUSED, MASKED, CANCELED = "ok", "refused", "masked", "canceled"
OTHER = "other"  # the document has a syntax error, or its root field is not in the schema
SEVERAL = "several"
_SUBSCRIPTION = "subscription"


class OperationName(NamedTuple):
    """The type of an operation and its only root field."""

    type: str
    field: str


def operation_name(execution: ExecutionContext) -> OperationName:
    """Name the operation that is executed."""
    document = execution.graphql_document
    operation = document and get_operation_ast(document, execution.operation_name)
    if not operation:
        return OperationName(OTHER, OTHER)
    fields = {
        node.name.value if isinstance(node, FieldNode) else OTHER
        for node in operation.selection_set.selections
    }
    field = fields.pop() if len(fields) == 1 else SEVERAL
    root = execution.schema._schema.get_root_type(operation.operation)  # noqa: SLF001  # there is no public way
    is_known = field == SEVERAL or (root is not None and field in root.fields)
    return OperationName(operation.operation.value, field if is_known else OTHER)


class OperationMetrics:
    """Counts one operation, and times it unless it is a subscription."""

    _is_live = False

    def __init__(self, execution: ExecutionContext) -> None:
        self._execution = execution

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Count the operation when it ends, with its outcome."""
        began = perf_counter()
        outcome = CANCELED
        try:
            yield
            outcome = self._outcome()
        except InvalidOperationTypeError:
            outcome = ""  # not counted: it is refused, or executed again as a stream
            raise
        except Exception as error:
            outcome = _outcome_of([error])
            raise
        finally:
            self._count(outcome, perf_counter() - began)

    def begin(self) -> None:
        """Count a subscription as live until its end."""
        if self._name.type == _SUBSCRIPTION:
            self._is_live = True
            context = self._execution.context
            context.metrics.live_subscriptions.inc()
            context.delivered = context.metrics.delivered(self._name.field)

    @cached_property
    def _name(self) -> OperationName:
        return operation_name(self._execution)  # first used after parsing

    def _outcome(self) -> str:
        execution = self._execution
        if execution.result and execution.result.errors:
            return _outcome_of(execution.result.errors)
        return REFUSED if execution.context.is_refused else OK

    def _count(self, outcome: str, took_s: float) -> None:
        metrics = self._execution.context.metrics
        if self._is_live:
            metrics.live_subscriptions.dec()
        if not outcome:
            return
        metrics.requests(*self._name, outcome).inc()
        if self._name.type != _SUBSCRIPTION:
            metrics.durations(*self._name).observe(took_s)


def _outcome_of(errors: Sequence[Exception]) -> str:
    """Return the code of the first error; one without a code is the document's, or is masked."""
    error = errors[0]
    if not isinstance(error, GraphQLError):
        return MASKED
    code = str((error.extensions or {}).get("code", ErrorCode.BAD_USER_INPUT))
    return MASKED if code == ErrorCode.INTERNAL else code

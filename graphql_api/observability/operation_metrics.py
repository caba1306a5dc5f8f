"""Counts each operation by what it is and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from time import perf_counter

from graphql import GraphQLError
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types import ExecutionContext

from graphql_api.api_errors import ErrorCode
from graphql_api.observability.operations import OperationName, name_of

OK, REFUSED, MASKED, CANCELED = "ok", "refused", "masked", "canceled"
_SUBSCRIPTION = "subscription"


class Metering:
    """Counts one operation, and times it unless it is a subscription."""

    _is_live = False

    def __init__(self, asked: ExecutionContext) -> None:
        self._asked = asked

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Count it when it has ended, however it ends."""
        began = perf_counter()
        outcome = CANCELED
        try:
            yield
            outcome = self._outcome()
        except InvalidOperationTypeError:
            outcome = ""  # not by this way: it is refused, or comes again as a stream
            raise
        except Exception as error:
            outcome = _code([error])
            raise
        finally:
            self._count(outcome, perf_counter() - began)

    def begin(self) -> None:
        """Take a subscription for live from here on."""
        if self._name.type == _SUBSCRIPTION:
            self._is_live = True
            context = self._asked.context
            context.metrics.live_subscriptions.inc()
            context.delivered = context.metrics.delivered(self._name.field)

    @cached_property
    def _name(self) -> OperationName:
        return name_of(self._asked)  # asked for when it was parsed, or never will be

    def _outcome(self) -> str:
        asked = self._asked
        if asked.result and asked.result.errors:
            return _code(asked.result.errors)
        return REFUSED if asked.context.is_refused else OK

    def _count(self, outcome: str, took_s: float) -> None:
        metrics = self._asked.context.metrics
        if self._is_live:
            metrics.live_subscriptions.dec()
        if not outcome:
            return
        metrics.requests(*self._name, outcome).inc()
        if self._name.type != _SUBSCRIPTION:
            metrics.durations(*self._name).observe(took_s)


def _code(errors: Sequence[Exception]) -> str:
    """Give the code of the first error; what has none yet will be masked, or is the document's."""
    error = errors[0]
    if not isinstance(error, GraphQLError):
        return MASKED
    code = str((error.extensions or {}).get("code", ErrorCode.BAD_USER_INPUT))
    return MASKED if code == ErrorCode.INTERNAL else code

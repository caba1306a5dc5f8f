"""Spans of operations; loaded only where traces are on.

FastAPI itself makes the spans of requests and sockets around them, behind a client's `traceparent`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace

from celeryql.observability.traces import start_span
from graphql_api.execution.stages import Stage, Stages
from graphql_api.observability.operations import name_of


class TracedStages(Stages):
    """Makes each operation a span, and what it does a part of it."""

    _span: Any

    def operation(self) -> Any:
        """Give what is around all of it: the span first."""
        return Stage(self._operation())

    def executing(self) -> Any:
        """Count what begins, and give what is around it: the span."""
        super().executing()
        return Stage(self._executing())

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """End the span whichever way the operation ends."""
        self._span = start_span("graphql")
        try:
            with self._metering.operation():
                yield
        finally:
            result = self.execution_context.result
            if result is not None and result.errors:
                self._span.set_status(trace.StatusCode.ERROR)
            self._span.end()

    @contextmanager
    def _executing(self) -> Iterator[None]:
        """Name the span, and have what is done meanwhile behind it."""
        type_, field = name_of(self.execution_context)
        self._span.update_name(f"{type_} {field}")
        self._span.set_attributes({"graphql.operation.type": type_, "celeryql.operation": field})
        with trace.use_span(self._span, end_on_exit=False, record_exception=False):
            yield

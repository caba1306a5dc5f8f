"""OpenTelemetry spans of operations; imported only if tracing is on.

FastAPI creates the parent spans of requests and WebSockets, and continues a client's `traceparent`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace

from celeryql.observability.traces import start_span
from graphql_api.execution.operation_hooks import AsyncHook, OperationHooks
from graphql_api.observability.operation_metrics import operation_name


class TracedOperationHooks(OperationHooks):
    """Creates a span for each operation."""

    _span: Any

    def operation(self) -> Any:
        """Start the span, and measure the whole operation."""
        return AsyncHook(self._operation())

    def executing(self) -> Any:
        """Count a subscription that starts, and make the span the current one."""
        super().executing()
        return AsyncHook(self._executing())

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """End the span, however the operation ends."""
        self._span = start_span("graphql")
        try:
            with self._metrics.operation():
                yield
        finally:
            result = self.execution_context.result
            if result is not None and result.errors:
                self._span.set_status(trace.StatusCode.ERROR)
            self._span.end()

    @contextmanager
    def _executing(self) -> Iterator[None]:
        """Name the span, and make it the parent of everything that the execution does."""
        type_, field = operation_name(self.execution_context)
        self._span.update_name(f"{type_} {field}")
        self._span.set_attributes({"graphql.operation.type": type_, "celeryql.operation": field})
        with trace.use_span(self._span, end_on_exit=False, record_exception=False):
            yield

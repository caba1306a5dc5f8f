"""Traces: spans of what a process does, which OpenTelemetry sends to a collector.

OpenTelemetry is an extra (`requirements-otel.lock`) and is configured by its own environment
variables. If none of them names a collector, this module loads nothing of it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from celery import Task, signals
from structlog.contextvars import get_contextvars

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FLUSH_S = 2.0  # a collector that does not answer must not delay the end of a process

logger = logging.getLogger(__name__)


@cache
def is_enabled() -> bool:
    """Return whether a collector is configured and OpenTelemetry is installed."""
    is_named = any(os.environ.get(name) for name in _ENDPOINTS)
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not is_named or is_disabled:
        return False
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: PLC0415
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415
    except ImportError as error:
        logger.warning("No traces are sent: install requirements-otel.lock (%s)", error)
        return False
    return True


@cache
def start_exporting(service: str) -> None:
    """Start to send the spans of this process, if traces are enabled.

    Args:
        service: name of the process, unless OTEL_SERVICE_NAME sets another.
    """
    if not is_enabled():
        return
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider, export  # noqa: PLC0415

    name = os.environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(export.BatchSpanProcessor(trace_exporter.OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Send the spans that have not been sent, for at most two seconds."""
    if not is_enabled():
        return
    from opentelemetry import trace  # noqa: PLC0415

    provider: Any = trace.get_tracer_provider()
    if hasattr(provider, "force_flush"):  # otherwise `start_exporting` was not called
        sending = threading.Thread(target=provider.force_flush, daemon=True)
        sending.start()
        sending.join(_FLUSH_S)


def start_span(name: str, headers: Mapping[str, str] | None = None) -> Any:
    """Start a span. Call it only if traces are enabled.

    Args:
        name: what the span covers.
        headers: message headers that name the parent; None if the current span is the parent.
    """
    from opentelemetry import propagate, trace  # noqa: PLC0415

    context = None if headers is None else propagate.extract(headers)
    attributes = {"celeryql.request_id": get_contextvars().get("request_id", "")}
    return trace.get_tracer("celeryql").start_span(name, context, attributes=attributes)


def span(name: str) -> AbstractContextManager[Any]:
    """Cover a `with` block by a span, if traces are enabled."""
    if not is_enabled():
        return nullcontext()
    from opentelemetry import trace  # noqa: PLC0415

    return trace.use_span(start_span(name), end_on_exit=True)


def propagate_traces() -> None:
    """Add the current span to the headers of each message of this process, if enabled."""
    if is_enabled():
        from opentelemetry import propagate  # noqa: PLC0415

        def add_trace_headers(headers: dict[str, Any], **_: Any) -> None:
            propagate.inject(headers)

        signals.before_task_publish.connect(add_trace_headers, weak=False, dispatch_uid="traces")


def trace_workers() -> None:
    """Make workers record a span of each run, as a child of the span that sent its message."""

    def prepare(**_: Any) -> None:
        if is_enabled():
            propagate_traces()
            signals.task_prerun.connect(_start_run, weak=False)
            signals.task_postrun.connect(_end_run, weak=False)

    def finish(**_: Any) -> None:
        flush()

    signals.worker_init.connect(prepare, weak=False)
    for ending in (signals.worker_process_shutdown, signals.worker_shutdown):
        ending.connect(finish, weak=False)


def _start_run(task_id: str, task: Task, **_: Any) -> None:
    from opentelemetry import trace  # noqa: PLC0415

    # Only here, so that each process of a pool gets its own exporter thread.
    start_exporting("celeryql-worker-" + "-".join(sorted(task.app.amqp.queues.consume_from)))
    run = start_span(f"run {_name(task)}", task.request.headers or {})
    run.set_attributes({"celeryql.task_id": task_id, "celeryql.definition": _name(task)})
    task.request.span = trace.use_span(run, end_on_exit=True)
    task.request.span.__enter__()


def _end_run(task: Task, state: str, **_: Any) -> None:
    from opentelemetry import trace  # noqa: PLC0415

    run = trace.get_current_span()
    run.set_attribute("celery.state", state)
    if state == "FAILURE":
        run.set_status(trace.StatusCode.ERROR)
    task.request.span.__exit__(None, None, None)


def _name(task: Task) -> str:
    definition = getattr(task, "definition", None)
    return str(definition.name if definition else task.name)

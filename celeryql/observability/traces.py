"""Traces: spans of what a process does, which OpenTelemetry sends to a collector.

OpenTelemetry is an extra (`requirements-otel.lock`), and set up by its own standard variables.
Where none of them names a collector, nothing of it is loaded here.
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
_FLUSH_S = 2.0  # a collector that does not answer holds up no process that ends

logger = logging.getLogger(__name__)


@cache
def is_on() -> bool:
    """Tell whether a collector is named, and what sends to it is installed."""
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
def begin(service: str) -> Any:
    """Begin to send this process's spans; the provider of its tracers, None where traces are off.

    Args:
        service: the process's name, unless OTEL_SERVICE_NAME gives it another.
    """
    if not is_on():
        return None
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider, export  # noqa: PLC0415

    name = os.environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(export.BatchSpanProcessor(trace_exporter.OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def flush() -> None:
    """Send what has not been sent yet, for a short time."""
    if not is_on():
        return
    from opentelemetry import trace  # noqa: PLC0415

    provider: Any = trace.get_tracer_provider()
    if hasattr(provider, "force_flush"):  # else this process has begun none
        sending = threading.Thread(target=provider.force_flush, daemon=True)
        sending.start()
        sending.join(_FLUSH_S)


def start_span(name: str, headers: Mapping[str, str] | None = None) -> Any:
    """Start a span; only where traces are on.

    Args:
        name: what is done.
        headers: name the span that led to it; None where that is the current one.
    """
    from opentelemetry import propagate, trace  # noqa: PLC0415

    context = None if headers is None else propagate.extract(headers)
    attributes = {"celeryql.request_id": get_contextvars().get("request_id", "")}
    return trace.get_tracer("celeryql").start_span(name, context, attributes=attributes)


def span(name: str) -> AbstractContextManager[Any]:
    """Make what is done inside a span, where traces are on."""
    if not is_on():
        return nullcontext()
    from opentelemetry import trace  # noqa: PLC0415

    return trace.use_span(start_span(name), end_on_exit=True)


def carry() -> None:
    """Have each message that this process sends name the current span, where traces are on."""
    if is_on():
        from opentelemetry import propagate  # noqa: PLC0415

        def send(headers: dict[str, Any], **_: Any) -> None:
            propagate.inject(headers)

        signals.before_task_publish.connect(send, weak=False, dispatch_uid="traces")


def trace_workers() -> None:
    """Have workers make a span of each run, behind the one that sent its message."""

    def prepare(**_: Any) -> None:
        if is_on():
            carry()
            signals.task_prerun.connect(_start_run, weak=False)
            signals.task_postrun.connect(_end_run, weak=False)

    def finish(**_: Any) -> None:
        flush()

    signals.worker_init.connect(prepare, weak=False)
    for ending in (signals.worker_process_shutdown, signals.worker_shutdown):
        ending.connect(finish, weak=False)


def _start_run(task_id: str, task: Task, **_: Any) -> None:
    from opentelemetry import trace  # noqa: PLC0415

    # Here and not earlier, so that in a pool each process has its own thread that sends.
    begin("celeryql-worker-" + "-".join(sorted(task.app.amqp.queues.consume_from)))
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

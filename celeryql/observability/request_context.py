"""Request context: the request id and the owner, carried by every message that a request causes.

A mutation binds both in the API (`graphql_api/transport/`). The headers of Celery's messages carry
them to the workers: with a task, each task of a batch, and the first steps of a workflow. A worker
binds them while it runs the task, so all lines that are logged in that time contain them, and so do
all messages that are sent: for a retry, for the next steps, and by the task's body.
"""

from __future__ import annotations

from typing import Any

from celery import Task, signals
from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

CONTEXT_HEADERS = ("request_id", "owner")


def propagate_request_context() -> None:
    """Make Celery carry the request context in all messages of this process."""
    signals.before_task_publish.connect(add_context_headers, weak=False)
    signals.task_prerun.connect(_bind, weak=False)
    signals.task_postrun.connect(_unbind, weak=False)


def add_context_headers(headers: dict[str, Any], **_: Any) -> None:
    """Add the current request context to the headers of a message."""
    bound = get_contextvars()
    for name in CONTEXT_HEADERS:
        if name in bound:
            headers.setdefault(name, bound[name])


def _bind(task_id: str, task: Task, **_: Any) -> None:
    headers = task.request.headers or {}
    definition = getattr(task, "definition", None)
    task.request.bound_context = bind_contextvars(
        task_id=task_id,
        definition=definition.name if definition else task.name,
        queue=(task.request.delivery_info or {}).get("routing_key"),
        **{name: headers[name] for name in CONTEXT_HEADERS if name in headers},
    )


def _unbind(task: Task, **_: Any) -> None:
    reset_contextvars(**task.request.bound_context)

"""The trail of a request: who asked for what, carried in the headers of all messages it leads to.

A mutation binds it in the API (`graphql_api/transport/`). From there Celery's own
headers take it into each message: of a task, of a batch, of the first steps of a workflow. A worker
binds it while a task runs, so it is in each line that is logged meanwhile, and in the messages that
are sent meanwhile: of another attempt, of the next steps, of whatever the task's body sends.
"""

from __future__ import annotations

from typing import Any

from celery import Task, signals
from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

CARRIED = ("request_id", "owner")


def carry_trail() -> None:
    """Have Celery carry it in this process."""
    signals.before_task_publish.connect(send, weak=False)
    signals.task_prerun.connect(_bind, weak=False)
    signals.task_postrun.connect(_unbind, weak=False)


def send(headers: dict[str, Any], **_: Any) -> None:
    """Put it into the headers of a message that is about to be sent."""
    bound = get_contextvars()
    for name in CARRIED:
        if name in bound:
            headers.setdefault(name, bound[name])


def _bind(task_id: str, task: Task, **_: Any) -> None:
    headers = task.request.headers or {}
    definition = getattr(task, "definition", None)
    task.request.trail = bind_contextvars(
        task_id=task_id,
        definition=definition.name if definition else task.name,
        queue=(task.request.delivery_info or {}).get("routing_key"),
        **{name: headers[name] for name in CARRIED if name in headers},
    )


def _unbind(task: Task, **_: Any) -> None:
    reset_contextvars(**task.request.trail)

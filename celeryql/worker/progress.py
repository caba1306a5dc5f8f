"""Progress of a running task: what a task body reports, and how often it is published."""

from __future__ import annotations

import time

from celery import Task, current_task

_MIN_INTERVAL_S = 1 / 20  # nobody can read more than that, and each report is a write to Redis

PROGRESS = "PROGRESS"  # the custom state that Celery's own documentation uses for this


def report_progress(current: float, total: float | None = None, message: str | None = None) -> None:
    """Publish how far the running task is, at most 20 times a second.

    A report that comes sooner waits: the next report replaces it, or it is published when the
    task's body returns or raises. So the last report is always published, unless the process is
    killed first: by a crash, a hard time limit, or the cancellation of the task.

    The function does nothing if the task is called directly or runs eagerly, because nobody can
    watch it then.

    Args:
        current: the work done so far, in any unit; 0 or more.
        total: all the work, in the same unit, if known. The report that reaches it never waits.
        message: what the task is doing, for people.
    """
    task = current_task
    if not task or task.request.called_directly or task.request.is_eager:
        return
    request, now = task.request, time.monotonic()
    request.pending_progress = {"current": current, "total": total, "message": message}
    is_complete = total is not None and current >= total
    if is_complete or now - request.get("progress_at", 0.0) >= _MIN_INTERVAL_S:
        request.progress_at = now
        publish_pending_progress(task)


def publish_pending_progress(task: Task) -> None:
    """Publish the newest report of the running task, unless it has been published."""
    report = task.request.get("pending_progress")
    if report is not None:
        task.request.pending_progress = None
        task.update_state(state=PROGRESS, meta=report)

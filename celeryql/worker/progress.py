"""How a running task tells what it has done so far."""

from __future__ import annotations

import time

from celery import current_task

_MIN_INTERVAL_S = 1 / 20  # more often than that no person can see, and Redis would feel it

PROGRESS = "PROGRESS"  # the custom state that Celery's own documentation uses for this


def report_progress(current: float, total: float | None = None, message: str | None = None) -> None:
    """Publish how far the running task is; at most 20 times a second, the last one always.

    Does nothing when the task function is called directly, where nobody can watch.

    Args:
        current: what is done, in any unit; 0 or more.
        total: all there is to do, in the same unit, where it is known.
        message: what is being done, for people.
    """
    task = current_task
    if not task or task.request.called_directly:
        return
    now = time.monotonic()
    is_last = total is not None and current >= total
    if not is_last and now - task.request.get("progress_at", 0.0) < _MIN_INTERVAL_S:
        return
    task.request.progress_at = now
    meta = {"current": current, "total": total, "message": message}
    task.update_state(state=PROGRESS, meta=meta)

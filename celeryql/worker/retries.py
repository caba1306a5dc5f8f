"""Retries: how long a task waits before its next attempt, and how many attempts it has left."""

from __future__ import annotations

import random

from celery.app.task import Context

from celeryql.definition.options import MAX_ATTEMPTS

_FIRST_LIMIT_S = 1.0  # of the pause before the second attempt; doubles with each attempt
_LAST_LIMIT_S = 600.0


def back_off_s(retries: int) -> float:
    """Return the pause before the next attempt of a task that has been retried this often.

    It is a random part of a limit that doubles with each attempt, up to ten minutes. So tasks that
    failed together are not retried together.
    """
    limit_s = min(_FIRST_LIMIT_S * 2**retries, _LAST_LIMIT_S)
    return random.uniform(0, limit_s)  # noqa: S311  # no secret


def max_retries(request: Context) -> int:
    """Return the number of retries after which the task of a run has no attempts left."""
    # A task that replaces itself starts again, which is no further attempt.
    replaced = request.get("replaced_task_nesting") or 0
    attempts = (request.attempt.max_attempts or MAX_ATTEMPTS) - request.attempt.number + replaced
    return int(request.retries + attempts)

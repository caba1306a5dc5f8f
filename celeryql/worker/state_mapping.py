"""Maps Celery's states to the fields of a task's record."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from celery import states
from celery.app.task import Context
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from celeryql.records import Failure, Progress, TaskState
from celeryql.task_errors import error_name, error_text, is_retryable

_STATES = {
    states.PENDING: TaskState.QUEUED,
    states.RECEIVED: TaskState.QUEUED,
    states.STARTED: TaskState.RUNNING,
    states.RETRY: TaskState.RETRYING,
    states.SUCCESS: TaskState.SUCCEEDED,
    states.FAILURE: TaskState.FAILED,
    states.REVOKED: TaskState.CANCELED,
}


def record_changes(state: str, result: Any, request: Context | None) -> dict[str, str]:
    """Return the fields of the record that a state sets.

    Args:
        state: one of Celery's states, or a custom state.
        result: what Celery stores with the state: a result, an exception or metadata.
        request: of the run; None if no worker writes the state.
    """
    changes: dict[str, str] = {
        "state": _STATES.get(state, TaskState.RUNNING),
        "celery_state": state,
    }
    if request is not None and getattr(request, "hostname", None):
        changes["worker"] = request.hostname
    if state in (states.FAILURE, states.RETRY) and result is not None:
        failure = Failure(
            type=error_name(result),
            message=error_text(result),
            retryable=state == states.RETRY or is_retryable(result),
        )
        changes["failure"] = failure.model_dump_json()
    elif state == states.REVOKED and "expired" in str(result):
        changes["state"] = TaskState.EXPIRED
    elif state not in _STATES and isinstance(result, dict):
        # Progress has the form that Celery's documentation uses for `update_state`. Metadata of
        # another form, or with a message that cannot be encoded, is no progress.
        with suppress(ValidationError, PydanticSerializationError):
            changes["progress"] = Progress.model_validate(result).model_dump_json()
    return changes

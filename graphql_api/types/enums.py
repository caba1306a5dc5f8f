"""The enums of tasks and scopes, with the descriptions of their values."""

from __future__ import annotations

from celeryql.records import Priority, TaskState
from graphql_api.auth.viewer import Scope
from graphql_api.types import decorators

__all__ = ["Priority", "Scope", "TaskState"]

decorators.enum(
    TaskState,
    {
        "SCHEDULED": "The task has a start time in the future.",
        "WAITING": "The step waits for earlier steps of its workflow.",
        "QUEUED": "The task is in the broker and has not started.",
        "RUNNING": "A worker is running the task.",
        "RETRYING": "An attempt failed and another one is due.",
        "SUCCEEDED": "The task ended with a result.",
        "FAILED": "The task ended with an error.",
        "CANCELED": "The task was canceled before it had a result.",
        "SKIPPED": "The step never ran because an earlier step failed or was canceled.",
        "EXPIRED": "The task did not start in time.",
    },
)

decorators.enum(
    Priority,
    {
        "LOW": "Runs after tasks with a higher priority.",
        "NORMAL": "Runs in order of arrival.",
        "HIGH": "Runs before tasks with a lower priority.",
    },
)

decorators.enum(
    Scope,
    {
        "ENQUEUE": "Enqueue tasks, workflows and batches.",
        "READ": "Read and watch tasks, including their input, result, failure and history.",
        "CONTROL": "Cancel tasks and, together with ENQUEUE, retry them.",
        "CLUSTER": "See queues and workers.",
        "ADMIN": "Everything that the other scopes allow, for the tasks of all owners.",
    },
)

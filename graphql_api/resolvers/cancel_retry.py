"""The mutations `cancelTask` and `retryTask`."""

from __future__ import annotations

from typing import Annotated

import strawberry

from celeryql import errors
from celeryql.outages import unavailable_in_outage
from celeryql.records import Record, TaskId
from celeryql.submission.control import RetryFrom
from graphql_api.auth.viewer import Scope
from graphql_api.execution.context import Info
from graphql_api.types import decorators
from graphql_api.types.node import IdArgument
from graphql_api.types.options import checked_options
from graphql_api.types.payload_errors import (
    AlreadyFinished,
    Forbidden,
    IdempotencyConflict,
    InvalidInput,
    NotFinished,
    NotFound,
    Throttled,
    Unavailable,
)
from graphql_api.types.task import Task

decorators.enum(
    RetryFrom,
    {
        "START": "Run the whole task or workflow again.",
        "FAILED_STEPS": "Keep the results of a workflow's successful steps and run the others.",
    },
)


@decorators.type
class CancelTaskSuccess:
    """The task, or the unfinished steps of the workflow, were canceled as far as possible."""

    task: Task = strawberry.field(description="The task in its current state.")
    canceled: int = strawberry.field(
        description="The number of canceled tasks; for a workflow, of its steps. This includes "
        "running tasks that were asked to stop, which may still end in another way."
    )
    running: strawberry.Private[list[TaskId]]

    @decorators.field
    async def still_running(self, info: Info) -> list[Task] | None:
        """Tasks that continue to run.

        Either `terminate` was false, or their worker pool cannot stop them.

        Null only if an error is reported.
        """
        records = await info.context.records.load_many(self.running)
        return [info.context.to_graphql(record) for record in records if record]


@decorators.type
class RetryTaskSuccess:
    """The retry was accepted."""

    task: Task = strawberry.field(description="The new task.")
    deduplicated: bool = strawberry.field(
        description="Whether `task` is an earlier task with the same idempotency key."
    )


CancelTaskPayload = Annotated[
    CancelTaskSuccess | NotFound | AlreadyFinished | Unavailable | Forbidden,
    strawberry.union("CancelTaskPayload", description="The result of `cancelTask`."),
]
RetryTaskPayload = Annotated[
    RetryTaskSuccess
    | NotFound
    | NotFinished
    | IdempotencyConflict
    | InvalidInput
    | Throttled
    | Unavailable
    | Forbidden,
    strawberry.union("RetryTaskPayload", description="The result of `retryTask`."),
]


@decorators.type
class ControlMutation:
    """The mutations `cancelTask` and `retryTask`."""

    @decorators.mutation(scopes=(Scope.CONTROL,))
    async def cancel_task(
        self,
        info: Info,
        id: IdArgument,
        terminate: Annotated[  # noqa: FBT002  # GraphQL passes arguments by name
            bool,
            strawberry.argument(
                description="Whether to also stop running tasks, if their worker pool can."
            ),
        ] = False,
    ) -> CancelTaskPayload | None:
        """Cancel a task, or all steps of a workflow that have not finished."""
        record = await _record(info, id)
        canceled = await info.context.engine.control.cancel(record, terminate=terminate)
        return CancelTaskSuccess(
            task=info.context.to_graphql(canceled.record),
            canceled=canceled.count,
            running=canceled.still_running,
        )

    @decorators.mutation(scopes=(Scope.CONTROL, Scope.ENQUEUE))
    async def retry_task(
        self,
        info: Info,
        id: IdArgument,
        from_: Annotated[
            RetryFrom,
            strawberry.argument(name="from", description="The steps of a workflow to run again."),
        ] = RetryFrom.START,
        idempotency_key: Annotated[
            str | None,
            strawberry.argument(
                description="A key that makes it safe to send the request again: the same key and "
                "task return the first retry."
            ),
        ] = None,
    ) -> RetryTaskPayload | None:
        """Run a finished task again, as a new task with the same input and the same owner."""
        record = await _record(info, id)
        await _require_definitions(info, record)
        key = checked_options((), idempotency_key=idempotency_key).idempotency_key
        # A task that was sent with plain Celery has no owner.
        owner = record.owner or info.context.viewer.subject
        accepted = await info.context.engine.control.retry(record, from_, key, owner)
        task = info.context.to_graphql(accepted.record)
        return RetryTaskSuccess(task=task, deduplicated=accepted.deduplicated)


async def _record(info: Info, task_id: str) -> Record:
    with unavailable_in_outage():
        record = await info.context.records.load(task_id)
    if record is None:
        raise errors.NotFound(task_id)
    return record


async def _require_definitions(info: Info, workflow: Record) -> None:
    """Check that the viewer may enqueue all steps; it cannot see other single tasks at all."""
    if info.context.viewer.definitions is None:
        return
    with unavailable_in_outage():
        graph = await info.context.graphs.load(workflow.id)
        steps = (
            await info.context.engine.store.get_existing(s.id for s in graph.steps) if graph else []
        )
    info.context.viewer.require_definitions(step.definition or "" for step in steps)

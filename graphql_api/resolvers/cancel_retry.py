"""The mutations that control what was accepted: canceling it, and running it once more."""

from __future__ import annotations

from typing import Annotated

import strawberry

from celeryql import errors
from celeryql.outages import unavailable_in_outage
from celeryql.records import Record, TaskId
from celeryql.submission.control import RetryFrom
from graphql_api.auth.viewer import Scope
from graphql_api.context import Info
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
        "START": "Everything is run again.",
        "FAILED_STEPS": "Of a workflow, what succeeded is kept, and the rest is run.",
    },
)


@decorators.type
class CancelTaskSuccess:
    """What had not finished was canceled, as far as it could be."""

    task: Task = strawberry.field(description="The task, as it is now.")
    canceled: int = strawberry.field(
        description="How many tasks were canceled: of a workflow, its steps; those that were told "
        "to stop included, which may still end otherwise."
    )
    running: strawberry.Private[list[TaskId]]

    @decorators.field
    async def still_running(self, info: Info) -> list[Task] | None:
        """Running, and not asked to stop or in a pool that cannot stop it.

        Null only with an error.
        """
        records = await info.context.records.load_many(self.running)
        return [info.context.present(record) for record in records if record]


@decorators.type
class RetryTaskSuccess:
    """It was accepted once more."""

    task: Task = strawberry.field(description="The new task.")
    deduplicated: bool = strawberry.field(
        description="Whether `task` is an earlier task with the same idempotency key."
    )


CancelTaskPayload = Annotated[
    CancelTaskSuccess | NotFound | AlreadyFinished | Unavailable | Forbidden,
    strawberry.union("CancelTaskPayload", description="What `cancelTask` answers."),
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
    strawberry.union("RetryTaskPayload", description="What `retryTask` answers."),
]


@decorators.type
class ControlMutation:
    """What can be done with what was accepted."""

    @decorators.mutation(scopes=(Scope.CONTROL,))
    async def cancel_task(
        self,
        info: Info,
        id: IdArgument,
        terminate: Annotated[  # noqa: FBT002  # GraphQL gives arguments by name
            bool, strawberry.argument(description="Stop what runs, too, where its pool can.")
        ] = False,
    ) -> CancelTaskPayload | None:
        """Cancel what has not finished: of a workflow, every such step."""
        record = await _record(info, id)
        canceled = await info.context.engine.control.cancel(record, terminate=terminate)
        return CancelTaskSuccess(
            task=info.context.present(canceled.record),
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
            strawberry.argument(name="from", description="What of a workflow is run again."),
        ] = RetryFrom.START,
        idempotency_key: Annotated[
            str | None,
            strawberry.argument(description="Same key and same task: the first retry again."),
        ] = None,
    ) -> RetryTaskPayload | None:
        """Run a task that has ended once more, as a new one with the same input.

        It belongs to whom the first one belongs, whoever asks.
        """
        record = await _record(info, id)
        await _require_definitions(info, record)
        key = checked_options((), idempotency_key=idempotency_key).idempotency_key
        owner = record.owner or info.context.viewer.subject  # a plain Celery caller's has none
        accepted = await info.context.engine.control.retry(record, from_, key, owner)
        task = info.context.present(accepted.record)
        return RetryTaskSuccess(task=task, deduplicated=accepted.deduplicated)


async def _record(info: Info, task_id: str) -> Record:
    with unavailable_in_outage():
        record = await info.context.records.load(task_id)
    if record is None:
        raise errors.NotFound(task_id)
    return record


async def _require_definitions(info: Info, workflow: Record) -> None:
    """See that all steps may be enqueued; a single task is not even seen otherwise."""
    if info.context.viewer.definitions is None:
        return
    with unavailable_in_outage():
        graph = await info.context.graphs.load(workflow.id)
        steps = (
            await info.context.engine.store.get_existing(s.id for s in graph.steps) if graph else []
        )
    info.context.viewer.require_definitions(step.definition or "" for step in steps)

"""The mutation `enqueueBatch`, which enqueues many independent tasks at once."""

from __future__ import annotations

from typing import Annotated

import strawberry

from celeryql import errors
from celeryql.engine import Engine
from celeryql.submission.accept import Accepted, Submission
from celeryql.submission.build import build_task
from graphql_api.auth.viewer import Scope, Viewer
from graphql_api.execution.context import Info
from graphql_api.execution.executor import weigh_item
from graphql_api.execution.input_validation import charge_invalid_input, validate_in_time
from graphql_api.resolvers.error_mapping import present_refusal
from graphql_api.types import decorators
from graphql_api.types.inputs import BatchItemInput, task_and_arguments
from graphql_api.types.options import parse_options
from graphql_api.types.payload_errors import (
    Error,
    Forbidden,
    InvalidInput,
    Throttled,
    Unavailable,
)
from graphql_api.types.scalars import EventCursor
from graphql_api.types.task import Task

BATCH_MAX = 1_000
BATCH_MAX_BYTES = 16_000_000  # of all messages, which one call sends to Redis


@decorators.type
class BatchItem:
    """The outcome of one item of a batch: a task or an error."""

    index: int = strawberry.field(
        description="The position of the item in the batch, starting at 0."
    )
    task: Task | None = strawberry.field(description="The task, or null if the item was refused.")
    deduplicated: bool = strawberry.field(
        description="Whether `task` is an earlier task with the same idempotency key."
    )
    error: Error | None = strawberry.field(
        description="Why the item was refused, or null if it was accepted."
    )


@decorators.type
class EnqueueBatchSuccess:
    """The outcome of a batch. Each item is accepted or refused on its own."""

    items: list[BatchItem] = strawberry.field(
        description="The outcome of each item, in the order of the batch."
    )
    cursor: EventCursor = strawberry.field(
        description="The position in the stream of events before the batch. Pass it to the `tasks` "
        "subscription as `after`."
    )


EnqueueBatchPayload = Annotated[
    EnqueueBatchSuccess | InvalidInput | Throttled | Unavailable | Forbidden,
    strawberry.union("EnqueueBatchPayload", description="The result of `enqueueBatch`."),
]


@decorators.type
class BatchMutation:
    """The mutation `enqueueBatch`."""

    @decorators.mutation(scopes=(Scope.ENQUEUE,))
    async def enqueue_batch(
        self,
        info: Info,
        tasks: Annotated[
            list[BatchItemInput],
            strawberry.argument(description="The items of the batch: 1 to 1,000."),
        ],
    ) -> EnqueueBatchPayload | None:
        """Enqueue many independent tasks in one request. Each is accepted or refused on its own."""
        async with charge_invalid_input(info):
            built = await _build_all(info, tasks)
        requests = [item for item in built if isinstance(item, Submission)]
        submitter, owner = info.context.engine.submitter, info.context.viewer.subject
        refused = len(built) - len(requests)
        answers = await submitter.enqueue_many(requests, owner, refused=refused)
        answered = iter(answers.outcomes)
        outcomes = [next(answered) if isinstance(item, Submission) else item for item in built]
        items = [_item(info, i, outcome) for i, outcome in enumerate(outcomes)]
        return EnqueueBatchSuccess(items=items, cursor=EventCursor(answers.cursor))


def _item(info: Info, index: int, outcome: Accepted | errors.Refusal) -> BatchItem:
    if isinstance(outcome, errors.Refusal):
        error = present_refusal(outcome, info, ("tasks", str(index)))
        return BatchItem(index=index, task=None, deduplicated=False, error=error)
    task = info.context.to_graphql(outcome.record)
    return BatchItem(index=index, task=task, deduplicated=outcome.deduplicated, error=None)


async def _build_all(info: Info, tasks: list[BatchItemInput]) -> list[Submission | errors.Refusal]:
    """Build the messages of all valid items; a large batch is built in a thread.

    Raises:
        InvalidInput: the batch as a whole is empty or too large.
    """
    if not 1 <= len(tasks) <= BATCH_MAX:
        raise _refusal(f"A batch has 1 to {BATCH_MAX:,} tasks, not {len(tasks)}")
    if len(tasks) * weigh_item(info) > info.context.items_left:
        raise _refusal(f"{info.context.too_large}: select less of each task, or split the batch")
    engine, viewer = info.context.engine, info.context.viewer
    built = await validate_in_time(
        info, lambda: [_attempt(engine, viewer, i) for i in tasks], "tasks"
    )
    messages = [m for item in built if isinstance(item, Submission) for m in item.messages]
    if sum(len(message.payload) for message in messages) > BATCH_MAX_BYTES:
        raise _refusal(
            f"The messages of the batch would exceed {BATCH_MAX_BYTES:,} bytes: split it"
        )
    return built


def _refusal(text: str) -> errors.InvalidInput:
    return errors.InvalidInput([errors.Problem(("tasks",), text)])


def _attempt(engine: Engine, viewer: Viewer, item: BatchItemInput) -> Submission | errors.Refusal:
    try:
        return _build(engine, viewer, item)
    except errors.Refusal as refusal:
        return refusal


def _build(engine: Engine, viewer: Viewer, item: BatchItemInput) -> Submission:
    name, given = task_and_arguments(item.task, ("task",))
    viewer.require_definitions([name])
    definition = engine.definitions[name]
    options = parse_options(item.options)
    arguments = definition.validate_input(given, ("task", name))
    return build_task(definition, arguments, options)

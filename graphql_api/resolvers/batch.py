"""The mutation that enqueues many tasks at once."""

from __future__ import annotations

from typing import Annotated

import strawberry

from celeryql import errors
from celeryql.engine import Engine
from celeryql.submission.accept import Accepted, Submission
from celeryql.submission.build import build_task
from graphql_api.auth.viewer import Scope, Viewer
from graphql_api.context import Info
from graphql_api.execution.executor import weigh_item
from graphql_api.execution.input_validation import charge_invalid_input, validate_in_time
from graphql_api.resolvers.error_mapping import present_refusal
from graphql_api.types import decorators
from graphql_api.types.inputs import BatchItemInput, step_task
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
BATCH_MAX_BYTES = 16_000_000  # of all messages; one script takes them


@decorators.type
class BatchItem:
    """What became of one item of a batch: a task, or an error."""

    index: int = strawberry.field(description="Its place in the batch, from 0.")
    task: Task | None = strawberry.field(description="The task, if it was accepted.")
    deduplicated: bool = strawberry.field(
        description="Whether `task` is an earlier task with the same idempotency key."
    )
    error: Error | None = strawberry.field(description="Why it was not accepted.")


@decorators.type
class EnqueueBatchSuccess:
    """Each item was accepted or refused alone."""

    items: list[BatchItem] = strawberry.field(description="In the order of the batch.")
    cursor: EventCursor = strawberry.field(description="Subscribe to `tasks` after this.")


EnqueueBatchPayload = Annotated[
    EnqueueBatchSuccess | InvalidInput | Throttled | Unavailable | Forbidden,
    strawberry.union("EnqueueBatchPayload", description="What `enqueueBatch` answers."),
]


@decorators.type
class BatchMutation:
    """What can be done with many."""

    @decorators.mutation(scopes=(Scope.ENQUEUE,))
    async def enqueue_batch(
        self,
        info: Info,
        tasks: Annotated[
            list[BatchItemInput], strawberry.argument(description="1 to 1,000 tasks.")
        ],
    ) -> EnqueueBatchPayload | None:
        """Many independent tasks in one round trip; each is accepted or refused alone."""
        async with charge_invalid_input(info):
            built = await _build_all(info, tasks)
        requests = [asked for asked in built if isinstance(asked, Submission)]
        submitter, owner = info.context.engine.submitter, info.context.viewer.subject
        refused = len(built) - len(requests)
        answers = await submitter.enqueue_many(requests, owner, refused=refused)
        answered = iter(answers.outcomes)
        outcomes = [next(answered) if isinstance(asked, Submission) else asked for asked in built]
        items = [_item(info, i, outcome) for i, outcome in enumerate(outcomes)]
        return EnqueueBatchSuccess(items=items, cursor=EventCursor(answers.cursor))


def _item(info: Info, index: int, outcome: Accepted | errors.Refusal) -> BatchItem:
    if isinstance(outcome, errors.Refusal):
        error = present_refusal(outcome, info, ("tasks", str(index)))
        return BatchItem(index=index, task=None, deduplicated=False, error=error)
    task = info.context.present(outcome.record)
    return BatchItem(index=index, task=task, deduplicated=outcome.deduplicated, error=None)


async def _build_all(info: Info, tasks: list[BatchItemInput]) -> list[Submission | errors.Refusal]:
    """Build what fits its task, in a thread where it is much; a thousand take 40 ms.

    Raises:
        InvalidInput: the batch as a whole is too much.
    """
    if not 1 <= len(tasks) <= BATCH_MAX:
        raise _refusal(f"A batch has 1 to {BATCH_MAX:,} tasks, not {len(tasks)}")
    if len(tasks) * weigh_item(info) > info.context.items_left:
        raise _refusal(f"{info.context.too_large}: select less of each task, or split the batch")
    engine, viewer = info.context.engine, info.context.viewer
    built = await validate_in_time(
        info, lambda: [_attempt(engine, viewer, i) for i in tasks], "tasks"
    )
    messages = [m for asked in built if isinstance(asked, Submission) for m in asked.messages]
    if sum(len(message.payload) for message in messages) > BATCH_MAX_BYTES:
        raise _refusal(f"Its messages would exceed {BATCH_MAX_BYTES:,} bytes: split it")
    return built


def _refusal(text: str) -> errors.InvalidInput:
    return errors.InvalidInput([errors.Problem(("tasks",), text)])


def _attempt(engine: Engine, viewer: Viewer, item: BatchItemInput) -> Submission | errors.Refusal:
    try:
        return _build(engine, viewer, item)
    except errors.Refusal as refusal:
        return refusal


def _build(engine: Engine, viewer: Viewer, item: BatchItemInput) -> Submission:
    name, given = step_task(item.task, ("task",))
    viewer.require_definitions([name])
    definition = engine.definitions[name]
    options = parse_options(item.options)
    arguments = definition.validate_input(given, ("task", name))
    return build_task(definition, arguments, options)

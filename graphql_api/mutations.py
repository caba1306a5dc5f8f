"""The mutations written by hand: workflows."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graphql_api import described
from graphql_api.context import Info
from graphql_api.errors import (
    IdempotencyConflict,
    InvalidInput,
    Unavailable,
    WorkflowTypeMismatch,
)
from graphql_api.inputs import (
    CanvasInput,
    OptionsArgument,
    StepInput,
    WorkflowInput,
    parse_options,
    step_task,
)
from graphql_api.workflow import Workflow
from tasks.engine import errors
from tasks.engine.canvas import ChainNode, Node, StepNode, plan
from tasks.engine.engine import Engine


@described.type
class EnqueueWorkflowSuccess:
    """The workflow was accepted as a whole."""

    task: Workflow = strawberry.field(description="The workflow, whose steps are tasks.")
    deduplicated: bool = strawberry.field(description="The idempotency key was seen before.")


EnqueueWorkflowPayload = Annotated[
    EnqueueWorkflowSuccess
    | InvalidInput
    | WorkflowTypeMismatch
    | IdempotencyConflict
    | Unavailable,
    strawberry.union("EnqueueWorkflowPayload", description="What `enqueueWorkflow` answers."),
]


@described.type
class WorkflowMutation:
    """What can be done."""

    @described.mutation
    async def enqueue_workflow(
        self,
        info: Info,
        input: Annotated[WorkflowInput, strawberry.argument(description="The workflow.")],
        options: OptionsArgument = None,
    ) -> EnqueueWorkflowPayload:
        """Type-check the whole canvas first; nothing is sent unless all of it is valid."""
        engine, viewer = info.context.engine, info.context.viewer
        limits = engine.settings
        canvas = _node(engine, input.canvas, ("input", "canvas"), limits.max_workflow_depth)
        workflow = plan(input.name, canvas, max_steps=limits.max_workflow_steps)
        accepted = await engine.submitter.enqueue_workflow(
            workflow, parse_options(options), viewer.subject
        )
        task = info.context.present(accepted.record)
        return EnqueueWorkflowSuccess(task=task, deduplicated=accepted.deduplicated)


def _node(engine: Engine, canvas: CanvasInput, path: tuple[str, ...], depth: int) -> Node:
    if depth == 0:
        most = engine.settings.max_workflow_depth
        raise errors.InvalidInput([errors.Problem(path, f"Nested deeper than {most}")])
    if canvas.step:
        return _step(engine, canvas.step.value, (*path, "step"))
    children = enumerate(canvas.chain.value if canvas.chain else ())
    return ChainNode(
        tuple(_node(engine, c, (*path, "chain", str(i)), depth - 1) for i, c in children)
    )


def _step(engine: Engine, step: StepInput, path: tuple[str, ...]) -> StepNode:
    name, given = step_task(step.task)
    return StepNode(
        key=step.key,
        definition=engine.definitions[name],
        given=given,
        path=(*path, "task", name),
        tags=tuple(step.options.tags or ()) if step.options else (),
    )

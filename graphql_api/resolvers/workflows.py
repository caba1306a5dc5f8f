"""The mutation `enqueueWorkflow`, and how its canvas is translated for the engine."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import strawberry

from celeryql import errors
from celeryql.engine import Engine
from celeryql.records import WORKFLOW
from celeryql.workflow.canvas import ChainNode, GroupNode, Node, StepNode, chord
from celeryql.workflow.canvas import Workflow as PlannedWorkflow
from celeryql.workflow.planner import plan
from graphql_api.auth.viewer import Scope
from graphql_api.execution.context import Info
from graphql_api.execution.input_validation import charge_invalid_input, validate_in_time
from graphql_api.types import decorators
from graphql_api.types.inputs import CanvasInput, StepInput, WorkflowInput, task_and_arguments
from graphql_api.types.options import OptionsArgument, parse_options
from graphql_api.types.payload_errors import (
    Forbidden,
    IdempotencyConflict,
    InvalidInput,
    Throttled,
    Unavailable,
    WorkflowTypeMismatch,
)
from graphql_api.types.task import Workflow


@decorators.type
class EnqueueWorkflowSuccess:
    """The whole workflow was accepted."""

    task: Workflow = strawberry.field(description="The workflow in its current state.")
    deduplicated: bool = strawberry.field(
        description="Whether `task` is an earlier task with the same idempotency key."
    )


EnqueueWorkflowPayload = Annotated[
    EnqueueWorkflowSuccess
    | InvalidInput
    | WorkflowTypeMismatch
    | IdempotencyConflict
    | Throttled
    | Unavailable
    | Forbidden,
    strawberry.union("EnqueueWorkflowPayload", description="The result of `enqueueWorkflow`."),
]


@decorators.type
class WorkflowMutation:
    """The mutation `enqueueWorkflow`."""

    @decorators.mutation(scopes=(Scope.ENQUEUE,))
    async def enqueue_workflow(
        self,
        info: Info,
        input: Annotated[WorkflowInput, strawberry.argument(description="The workflow to run.")],
        options: OptionsArgument = None,
    ) -> EnqueueWorkflowPayload | None:
        """Enqueue a workflow. The whole canvas is type-checked before anything is enqueued."""
        engine, viewer = info.context.engine, info.context.viewer
        async with charge_invalid_input(info):
            workflow = await validate_in_time(info, partial(_plan, engine, input))
            names = [step.node.definition.name for step in workflow.steps]
            viewer.require_definitions([WORKFLOW, *names])
            accepted = await engine.submitter.enqueue_workflow(
                workflow, parse_options(options), viewer.subject
            )
        task = info.context.to_graphql(accepted.record)
        return EnqueueWorkflowSuccess(task=task, deduplicated=accepted.deduplicated)


def _plan(engine: Engine, given: WorkflowInput) -> PlannedWorkflow:
    canvas = _CanvasTranslator(engine).node(given.canvas, ("input", "canvas"), 0)
    return plan(given.name, canvas, max_steps=engine.settings.max_workflow_steps)


class _CanvasTranslator:
    """Translates a canvas of the API into one of the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def node(self, canvas: CanvasInput, path: tuple[str, ...], depth: int) -> Node:
        """Translate a node and its members.

        Raises:
            InvalidInput: the canvas is nested too deep, or an option is beyond its limit.
        """
        if canvas.step:
            return self._step(canvas.step.value, (*path, "step"))
        if depth >= (most := self._engine.settings.max_workflow_depth):
            raise errors.InvalidInput([errors.Problem(path, f"Nested deeper than {most} levels")])
        if canvas.chord:
            path, given = (*path, "chord"), canvas.chord.value
            header = GroupNode(*self._members(given.header, (*path, "header"), depth))
            return chord(header, self.node(given.body, (*path, "body"), depth + 1))
        if canvas.group:
            return GroupNode(*self._members(canvas.group.value, (*path, "group"), depth))
        members = canvas.chain.value if canvas.chain else []
        return ChainNode(*self._members(members, (*path, "chain"), depth))

    def _members(
        self, members: list[CanvasInput], path: tuple[str, ...], depth: int
    ) -> tuple[tuple[Node, ...], tuple[str, ...]]:
        nodes = (self.node(m, (*path, str(i)), depth + 1) for i, m in enumerate(members))
        return tuple(nodes), path

    def _step(self, step: StepInput, path: tuple[str, ...]) -> StepNode:
        name, given = task_and_arguments(step.task, (*path, "task"))
        return StepNode(
            key=step.key,
            definition=self._engine.definitions[name],
            arguments=given,
            path=(*path, "task", name),
            options=parse_options(step.options, (*path, "options")),
        )

"""The inputs written by hand: options and filters."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from pydantic import BaseModel, Field
from strawberry import Some

from graphql_api import described
from graphql_api.values import TaskState
from tasks.engine.canvas import Name
from tasks.engine.listing import Filter
from tasks.engine.submit import Options

Tags = Annotated[
    list[Name] | None,
    Field(max_length=20, description="Names to find it by: at most 20, each at most 100 long."),
]


@described.validated_input
class TaskOptions(BaseModel):
    """What may be asked of a task beside its arguments."""

    tags: Tags = None
    idempotency_key: Name | None = Field(
        default=None,
        description="Same key and same input: the first task again. Same key, other input: a "
        "conflict. At most 100 long; kept as long as results are.",
    )


def parse_options(options: TaskOptions | None) -> Options:
    """Hand options to the engine."""
    if options is None:
        return Options()
    return Options(options.idempotency_key, tuple(options.tags or ()))


OptionsArgument = Annotated[
    TaskOptions | None, strawberry.argument(description="What is asked beside the arguments.")
]


@described.input
class TaskFilter:
    """What listed tasks must match: one of each list that is given, and all tags."""

    states: list[TaskState] | None = strawberry.field(default=None, description="One of these.")
    definitions: list[str] | None = strawberry.field(
        default=None, description="Name of one of these task definitions."
    )
    queues: list[str] | None = strawberry.field(default=None, description="One of these queues.")
    tags: list[str] | None = strawberry.field(default=None, description="All of them.")


def parse_filter(given: TaskFilter | None) -> Filter:
    """Hand a filter to the engine."""
    if given is None:
        return Filter()
    return Filter(
        states=frozenset(given.states or ()),
        definitions=frozenset(given.definitions or ()),
        queues=frozenset(given.queues or ()),
        tags=frozenset(given.tags or ()),
    )


class StepTaskInput:
    """Exactly one task.

    The one required argument you leave out, whichever it is, is piped from the step before; leave
    none out and nothing is piped.
    """

    # Its members are derived, one for each task definition: see `derive.complete_step_input`.


def step_task(given: StepTaskInput) -> tuple[str, dict[str, Any]]:
    """Name the task of a step, and its arguments as JSON values by parameter."""
    members: dict[str, Some[BaseModel | bool] | None] = vars(given)
    name, arguments = next((name, some.value) for name, some in members.items() if some)
    if isinstance(arguments, bool):  # of a task without parameters
        return name, {}
    return name, arguments.model_dump(mode="json", exclude_unset=True)


@described.validated_input
class StepOptions(BaseModel):
    """What may be asked of one step."""

    tags: Tags = None


@described.input
class StepInput:
    """One step of a workflow."""

    task: StepTaskInput = strawberry.field(description="What it runs.")
    key: str | None = strawberry.field(
        default=None, description="Your name for it, unique in the workflow; at most 100 long."
    )
    options: StepOptions | None = strawberry.field(
        default=None, description="What is asked of it beside its arguments."
    )


@described.one_of
class CanvasInput:
    """A step, or steps in a chain, each handed the result of the one before."""

    step: strawberry.Maybe[StepInput] = strawberry.field(description="One task.")
    chain: strawberry.Maybe[
        list[Annotated["CanvasInput", strawberry.lazy("graphql_api.inputs")]]
    ] = strawberry.field(description="One after the other.")


@described.input
class WorkflowInput:
    """A workflow to be run as one task."""

    canvas: CanvasInput = strawberry.field(description="Its steps.")
    name: str | None = strawberry.field(
        default=None, description="Your name for it, for people; at most 100 long."
    )

"""The inputs written by hand: steps, canvases and batches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import strawberry
from pydantic import BaseModel
from strawberry import Some
from strawberry.types import get_object_definition
from strawberry.types.arguments import InputContext

from graphql_api import described
from graphql_api.names import Writing
from graphql_api.options import StepOptions, TaskOptions


class StepTaskInput:
    """Exactly one task.

    The one required argument you leave out, whichever it is, is piped from the step before; leave
    none out and nothing is piped.
    """

    # Its members are derived, one for each task definition: see `derive.complete_step_input`.


def read_step_task(
    made: type[StepTaskInput], given: Mapping[str, Any], context: InputContext
) -> StepTaskInput:
    """Read the one member that is given; Strawberry would look at all others for each step, too."""
    members = _members()
    ((name, value),) = given.items()
    python_name, type_ = members[name]
    nothing = dict.fromkeys(python_name for python_name, _ in members.values())
    return made(**nothing | {python_name: context.convert(value, type_, name)})


@cache
def _members() -> dict[str, tuple[str, Any]]:
    """Give the members by their names in the schema: each with its own, and with its type."""
    fields = get_object_definition(StepTaskInput, strict=True).fields
    written = Writing().from_field
    return {written(field): (field.python_name, field.resolve_type()) for field in fields}


def step_task(given: StepTaskInput) -> tuple[str, dict[str, Any]]:
    """Name the task of a step, and its arguments as JSON values by parameter."""
    members: dict[str, Some[BaseModel | bool] | None] = vars(given)
    name, arguments = next((name, some.value) for name, some in members.items() if some)
    if isinstance(arguments, bool):  # of a task without parameters
        return name, {}
    return name, arguments.model_dump(mode="json", exclude_unset=True)


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


Canvas = Annotated["CanvasInput", strawberry.lazy("graphql_api.inputs")]


@described.input
class ChordInput:
    """A group that hands the list of its results to a body."""

    header: list[Canvas] = strawberry.field(description="Side by side.")
    body: Canvas = strawberry.field(description="What takes the list of their results.")


@described.one_of
class CanvasInput:
    """A step, or how steps are put together; nested at will.

    In a chain each is handed the result of the one before. A group with a step behind it is a
    chord: the step is handed the list of the group's results. A value piped into a group goes to
    each member with an open argument.
    """

    step: strawberry.Maybe[StepInput] = strawberry.field(description="One task.")
    chain: strawberry.Maybe[list[Canvas]] = strawberry.field(description="One after the other.")
    group: strawberry.Maybe[list[Canvas]] = strawberry.field(description="Side by side.")
    chord: strawberry.Maybe[ChordInput] = strawberry.field(
        description="Side by side, and then what takes all of their results."
    )


@described.input
class WorkflowInput:
    """A workflow to be run as one task."""

    canvas: CanvasInput = strawberry.field(description="Its steps.")
    name: str | None = strawberry.field(
        default=None, description="Your name for it, for people; at most 100 long."
    )


@described.input
class BatchItemInput:
    """One task of a batch."""

    task: StepTaskInput = strawberry.field(
        description="What it runs, with all of its required arguments."
    )
    options: TaskOptions | None = strawberry.field(
        default=None, description="What is asked of it beside its arguments."
    )

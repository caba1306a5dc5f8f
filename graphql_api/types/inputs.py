"""The inputs written by hand: steps, canvases and batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import strawberry
from pydantic_core import to_jsonable_python
from strawberry.types import get_object_definition, has_object_definition
from strawberry.types.arguments import InputContext
from strawberry.types.base import StrawberryContainer, StrawberryMaybe

from celeryql.definition.json_values import DUMP_OPTIONS
from celeryql.errors import InvalidInput, Problem
from graphql_api.execution.one_of import NOT_ONE_OF, is_one_of
from graphql_api.types import decorators
from graphql_api.types.naming import CachedNameConverter
from graphql_api.types.options import StepOptions, TaskOptions


class StepTaskInput:
    """Exactly one task.

    The one required argument you leave out, whichever it is, is piped from the step before; leave
    none out and nothing is piped.
    """

    # Its members are derived, one for each task definition: see `derive.complete_step_input`.


@dataclass(frozen=True, slots=True)
class StepTask:
    """What a `StepTaskInput` says.

    Attributes:
        name: of the task; None where not exactly one is given.
        given: values by parameter, models within made, which its own model has yet to check.
    """

    name: str | None
    given: dict[str, Any]

    def require_name(self, path: tuple[str, ...]) -> str:
        """Give the name of the task.

        Raises:
            InvalidInput: not exactly one is given; `path` leads there.
        """
        if self.name is None:
            raise InvalidInput([Problem(path, NOT_ONE_OF)])
        return self.name


def read_step_task(
    _: type[StepTaskInput], given: Mapping[str, Any], context: InputContext, *keys: str
) -> StepTask:
    """Read the one member that is given, and make no object of it.

    Strawberry would look at all other members for each step, and make a model of its arguments that
    their own model is then made of. graphql-core has seen to it that each value is of its type.
    """
    if not is_one_of(given):
        return StepTask(None, {})
    ((member, arguments),) = given.items()
    name, parameters = _members()[member]
    values: dict[str, Any] = {}
    if parameters is not None:
        for key, value in arguments.items():
            parameter, made_of = parameters[key]
            values[parameter] = (
                context.convert(value, made_of, *keys, member, key) if made_of else value
            )
    return StepTask(name, values)


_Parameters = dict[str, tuple[str, Any]]


@cache
def _members() -> dict[str, tuple[str, _Parameters | None]]:
    """Give the members by their names in the schema: the task of each, and its parameters."""
    fields = get_object_definition(StepTaskInput, strict=True).fields
    return {
        _WRITTEN(field): (field.python_name, _parameters(_maybe(field.resolve_type())))
        for field in fields
    }


def _parameters(type_: Any) -> _Parameters | None:
    """Give the parameters of a task by their names in the schema; None if it has none.

    Each has its own name, and its type if that is more than a scalar or a list of them.
    """
    if (definition := get_object_definition(type_)) is None:  # of a task without parameters
        return None
    typed = [(field, _maybe(field.resolve_type())) for field in definition.fields]
    return {
        _WRITTEN(field): (field.python_name, type_ if _holds_objects(type_) else None)
        for field, type_ in typed
    }


def _maybe(type_: Any) -> Any:
    return type_.of_type if isinstance(type_, StrawberryMaybe) else type_


def _holds_objects(type_: Any) -> bool:
    while isinstance(type_, StrawberryContainer):
        type_ = type_.of_type
    return has_object_definition(type_)


_WRITTEN = CachedNameConverter().from_field


def step_task(given: StepTask, path: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Name the task of a step, and its arguments as JSON values by parameter.

    Raises:
        InvalidInput: not exactly one task is given; `path` leads there.
    """
    return given.require_name(path), to_jsonable_python(given.given, **DUMP_OPTIONS)


@decorators.input
class StepInput:
    """One step of a workflow."""

    task: StepTask = strawberry.field(graphql_type=StepTaskInput, description="What it runs.")
    key: str | None = strawberry.field(
        default=None, description="Your name for it, unique in the workflow; at most 100 long."
    )
    options: StepOptions | None = strawberry.field(
        default=None, description="What is asked of it beside its arguments."
    )


Canvas = Annotated["CanvasInput", strawberry.lazy("graphql_api.types.inputs")]


@decorators.input
class ChordInput:
    """A group that hands the list of its results to a body."""

    header: list[Canvas] = strawberry.field(description="Side by side.")
    body: Canvas = strawberry.field(description="What takes the list of their results.")


@decorators.one_of
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


@decorators.input
class WorkflowInput:
    """A workflow to be run as one task."""

    canvas: CanvasInput = strawberry.field(description="Its steps.")
    name: str | None = strawberry.field(
        default=None, description="Your name for it, for people; at most 100 long."
    )


@decorators.input
class BatchItemInput:
    """One task of a batch."""

    task: StepTask = strawberry.field(
        graphql_type=StepTaskInput, description="What it runs, with all of its required arguments."
    )
    options: TaskOptions | None = strawberry.field(
        default=None, description="What is asked of it beside its arguments."
    )


def _read_batch_item(
    made: type[BatchItemInput], given: Mapping[str, Any], context: InputContext
) -> BatchItemInput:
    """Read one of up to a thousand, with nothing asked of Strawberry that is known before."""
    task = read_step_task(StepTaskInput, given["task"], context, "task")
    asked = given.get("options")
    options: Any = None if asked is None else context.convert(asked, TaskOptions, "options")
    return made(task=task, options=options)


get_object_definition(BatchItemInput, strict=True).from_input = _read_batch_item

"""The inputs of workflows and batches, and how a step's task and arguments are read."""

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
    """Exactly one task with its arguments.

    In a workflow, leave out one required argument to pass it the result of the previous step. If
    all are given, the step does not use that result.
    """

    # `complete_step_input` in `derived/task_api.py` adds a field for each task definition.


@dataclass(frozen=True, slots=True)
class StepTask:
    """The value of a `StepTaskInput`.

    Attributes:
        name: the task's name; None unless exactly one task is given.
        arguments: the values by parameter. The task's own model checks them later.
    """

    name: str | None
    arguments: dict[str, Any]

    def require_name(self, path: tuple[str, ...]) -> str:
        """Return the name of the task.

        Raises:
            InvalidInput: the input at `path` does not have exactly one task.
        """
        if self.name is None:
            raise InvalidInput([Problem(path, NOT_ONE_OF)])
        return self.name


def read_step_task(
    _: type[StepTaskInput], given: Mapping[str, Any], context: InputContext, *keys: str
) -> StepTask:
    """Read the given task directly, without Strawberry's conversion.

    Strawberry would look at every task's field for each step, and build a model of the arguments
    that the task's own model would then replace. graphql-core has already checked the types.
    """
    if not is_one_of(given):
        return StepTask(None, {})
    ((member, arguments),) = given.items()
    name, parameters = _task_fields()[member]
    values: dict[str, Any] = {}
    if parameters is not None:
        for key, value in arguments.items():
            parameter, type_ = parameters[key]
            values[parameter] = (
                context.convert(value, type_, *keys, member, key) if type_ else value
            )
    return StepTask(name, values)


_Parameters = dict[str, tuple[str, Any]]


@cache
def _task_fields() -> dict[str, tuple[str, _Parameters | None]]:
    """Return the task name and the parameters of each field, by its name in the schema."""
    fields = get_object_definition(StepTaskInput, strict=True).fields
    return {
        _name_in_schema(field): (
            field.python_name,
            _parameters(_unwrap_maybe(field.resolve_type())),
        )
        for field in fields
    }


def _parameters(type_: Any) -> _Parameters | None:
    """Return the parameters of a task by their names in the schema; None if it has none.

    Each has its Python name and, if it holds objects, the type that converts it.
    """
    if (definition := get_object_definition(type_)) is None:  # the task has no parameters
        return None
    typed = [(field, _unwrap_maybe(field.resolve_type())) for field in definition.fields]
    return {
        _name_in_schema(field): (field.python_name, type_ if _holds_objects(type_) else None)
        for field, type_ in typed
    }


def _unwrap_maybe(type_: Any) -> Any:
    return type_.of_type if isinstance(type_, StrawberryMaybe) else type_


def _holds_objects(type_: Any) -> bool:
    while isinstance(type_, StrawberryContainer):
        type_ = type_.of_type
    return has_object_definition(type_)


_name_in_schema = CachedNameConverter().from_field


def task_and_arguments(given: StepTask, path: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the task name of a step, and its arguments as JSON values by parameter.

    Raises:
        InvalidInput: the input at `path` does not have exactly one task.
    """
    return given.require_name(path), to_jsonable_python(given.arguments, **DUMP_OPTIONS)


@decorators.input
class StepInput:
    """One step of a workflow."""

    task: StepTask = strawberry.field(graphql_type=StepTaskInput, description="The task to run.")
    key: str | None = strawberry.field(
        default=None, description="A key that is unique in the workflow, of at most 100 characters."
    )
    options: StepOptions | None = strawberry.field(
        default=None, description="Options such as priority and tags."
    )


Canvas = Annotated["CanvasInput", strawberry.lazy("graphql_api.types.inputs")]


@decorators.input
class ChordInput:
    """A group of tasks whose results are passed as a list to a body."""

    header: list[Canvas] = strawberry.field(
        description="The members of the group, which run in parallel."
    )
    body: Canvas = strawberry.field(description="Receives the list of the results.")


@decorators.one_of
class CanvasInput:
    """A step, chain, group or chord. Chains, groups and chords can be nested.

    Each member of a chain receives the result of the previous one. In a chain, a group that is
    followed by a step is a chord: the step receives the list of the group's results. A value
    passed to a group goes to each member that leaves out an argument.
    """

    step: strawberry.Maybe[StepInput] = strawberry.field(description="A single task.")
    chain: strawberry.Maybe[list[Canvas]] = strawberry.field(
        description="Members that run one after another."
    )
    group: strawberry.Maybe[list[Canvas]] = strawberry.field(
        description="Members that run in parallel."
    )
    chord: strawberry.Maybe[ChordInput] = strawberry.field(
        description="Members that run in parallel, then a body that receives all of their results."
    )


@decorators.input
class WorkflowInput:
    """A workflow, which runs as one task."""

    canvas: CanvasInput = strawberry.field(description="The steps of the workflow.")
    name: str | None = strawberry.field(
        default=None, description="A human-readable name of at most 100 characters."
    )


@decorators.input
class BatchItemInput:
    """One task of a batch."""

    task: StepTask = strawberry.field(
        graphql_type=StepTaskInput,
        description="The task to run, with all of its required arguments.",
    )
    options: TaskOptions | None = strawberry.field(
        default=None, description="Options such as priority and tags."
    )


def _read_batch_item(
    cls: type[BatchItemInput], given: Mapping[str, Any], context: InputContext
) -> BatchItemInput:
    """Read one of up to 1,000 items without Strawberry's conversion, which is slower."""
    task = read_step_task(StepTaskInput, given["task"], context, "task")
    given_options = given.get("options")
    options: Any = None
    if given_options is not None:
        options = context.convert(given_options, TaskOptions, "options")
    return cls(task=task, options=options)


get_object_definition(BatchItemInput, strict=True).from_input = _read_batch_item

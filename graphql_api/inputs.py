"""The inputs written by hand: options and filters."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from pydantic import BaseModel
from strawberry import Some

from graphql_api import described
from graphql_api.values import TaskState
from tasks.engine.errors import InvalidInput, Problem
from tasks.engine.listing import Filter
from tasks.engine.submit import Options

_TAGS_MAX = 20
_NAME_LENGTH_MAX = 100


@described.input
class TaskOptions:
    """What may be asked of a task beside its arguments."""

    tags: list[str] | None = strawberry.field(
        default=None, description="Names to find it by: at most 20, each at most 100 long."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Same key and same input: the first task again. Same key, other input: a "
        "conflict. At most 100 long; kept as long as results are.",
    )


def parse_options(options: TaskOptions | None) -> Options:
    """Check the options and hand them to the engine.

    Raises:
        InvalidInput: they break a limit.
    """
    if options is None:
        return Options()
    check_name(options.idempotency_key, ("options", "idempotency_key"))
    return Options(
        idempotency_key=options.idempotency_key,
        tags=parse_tags(options.tags, ("options", "tags")),
    )


def check_name(name: str | None, path: tuple[str, ...]) -> None:
    """Check a name that the caller made up.

    Raises:
        InvalidInput: it is empty or too long.
    """
    if name is not None and not 0 < len(name) <= _NAME_LENGTH_MAX:
        raise InvalidInput([Problem(path, f"1 to {_NAME_LENGTH_MAX} characters")])


def parse_tags(tags: list[str] | None, path: tuple[str, ...]) -> tuple[str, ...]:
    """Check tags.

    Raises:
        InvalidInput: there are too many, or one is empty or too long.
    """
    tags = tags or []
    if len(tags) > _TAGS_MAX or any(not 0 < len(tag) <= _NAME_LENGTH_MAX for tag in tags):
        text = f"At most {_TAGS_MAX} tags, each 1 to {_NAME_LENGTH_MAX} characters"
        raise InvalidInput([Problem(path, text)])
    return tuple(tags)


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


@described.input
class StepOptions:
    """What may be asked of one step."""

    tags: list[str] | None = strawberry.field(
        default=None, description="Names to find it by: at most 20, each at most 100 long."
    )


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

"""The inputs written by hand: options, filters, canvases and batches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import strawberry
from pydantic import BaseModel, ValidationError
from strawberry import Some

from graphql_api import described
from graphql_api.values import Priority
from tasks.engine.accept import Options
from tasks.engine.errors import InvalidInput, Problem


@described.one_of
class StartInput:
    """When a task may start at the earliest."""

    at: strawberry.Maybe[datetime] = strawberry.field(
        description="A time, in UTC where it names no zone; one that has passed is now."
    )
    in_seconds: strawberry.Maybe[float] = strawberry.field(
        description="Seconds from now: at least 0, at most those of a year."
    )


_TAGS = "Names to find it by: at most 20, each at most 100 long."
_MAX_ATTEMPTS = "How often it is run at most, where it asks to be tried again: 1 to 100."


@described.input
class StepOptions:
    """What may be asked of one step."""

    priority: Priority | None = strawberry.field(
        default=None, description="Which waiting task is taken first; that of the workflow else."
    )
    tags: list[str] | None = strawberry.field(default=None, description=_TAGS)
    max_attempts: int | None = strawberry.field(default=None, description=_MAX_ATTEMPTS)


@described.input
class TaskOptions:
    """What may be asked of a task beside its arguments."""

    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Same key and same input: the first task again. Same key, other input: a "
        "conflict. At most 100 long; kept as long as results are.",
    )
    priority: Priority | None = strawberry.field(
        default=None, description="Which waiting task is taken first; NORMAL by default."
    )
    start: StartInput | None = strawberry.field(
        default=None, description="Not to start before; at once by default."
    )
    expires_in_seconds: float | None = strawberry.field(
        default=None,
        description="Drop it if it has not started within this long: above 0, at most a year.",
    )
    tags: list[str] | None = strawberry.field(default=None, description=_TAGS)
    max_attempts: int | None = strawberry.field(default=None, description=_MAX_ATTEMPTS)


_NAMES: dict[str, tuple[str, ...]] = {
    "start_at": ("start", "at"),
    "start_in_s": ("start", "in_seconds"),
    "expires_in_s": ("expires_in_seconds",),
}


def parse_options(
    given: TaskOptions | StepOptions | None, path: tuple[str, ...] = ("options",)
) -> Options:
    """Hand options to the engine, which has its limits.

    Raises:
        InvalidInput: one of them is beyond a limit.
    """
    if given is None:
        return Options()
    values: dict[str, Any] = {
        "tags": tuple(given.tags or ()),
        "priority": given.priority,
        "max_attempts": given.max_attempts,
    }
    if isinstance(given, TaskOptions):
        values["idempotency_key"] = given.idempotency_key
        values["expires_in_s"] = given.expires_in_seconds
        if given.start and given.start.at:
            at = given.start.at.value
            values["start_at"] = at if at.tzinfo else at.replace(tzinfo=UTC)
        if given.start and given.start.in_seconds:
            values["start_in_s"] = given.start.in_seconds.value
    return checked_options(path, **values)


def checked_options(path: tuple[str, ...], **values: Any) -> Options:
    """Make options, naming what is beyond a limit as clients do.

    Raises:
        InvalidInput: one of them is.
    """
    try:
        return Options.model_validate(values)
    except ValidationError as error:
        problems = []
        for e in error.errors(include_input=False, include_url=False):
            first, *rest = map(str, e["loc"])
            problems.append(Problem((*path, *_NAMES.get(first, (first,)), *rest), e["msg"]))
        raise InvalidInput(problems) from error


OptionsArgument = Annotated[
    TaskOptions | None, strawberry.argument(description="What is asked beside the arguments.")
]


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

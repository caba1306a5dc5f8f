"""What may be asked of a task beside its arguments, as clients say it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import strawberry
from pydantic import ValidationError
from strawberry.types import get_object_definition
from strawberry.types.arguments import InputContext

from celeryql.definition.options import EnqueueOptions
from celeryql.errors import InvalidInput, Problem, problems_of
from celeryql.records import as_utc
from graphql_api.execution.one_of import NOT_ONE_OF, is_one_of
from graphql_api.types import decorators
from graphql_api.types.enums import Priority


@decorators.one_of
class StartInput:
    """When a task may start at the earliest."""

    at: strawberry.Maybe[datetime] = strawberry.field(
        default=None,
        description="A time, in UTC where it names no zone; one that has passed is now.",
    )
    in_seconds: strawberry.Maybe[float] = strawberry.field(
        default=None,
        description="Seconds from now: at least 0, at most those of a year.",
    )


def _read_start(made: type[StartInput], given: Mapping[str, Any], _: InputContext) -> StartInput:
    """Read it right or wrong: `parse_options` refuses it, of a batch with its own item alone."""
    if not is_one_of(given):
        return made()
    ((member, value),) = given.items()
    return made(**{"at" if member == "at" else "in_seconds": strawberry.Some(value)})


get_object_definition(StartInput, strict=True).from_input = _read_start

_TAGS = "Names to find it by: at most 20, each at most 100 long."
_MAX_ATTEMPTS = (
    "How often it is run at most, where it asks to be tried again or its worker is lost: 1 to 100."
)


@decorators.input
class StepOptions:
    """What may be asked of one step."""

    priority: Priority | None = strawberry.field(
        default=None, description="Which waiting task is taken first; that of the workflow else."
    )
    tags: list[str] | None = strawberry.field(default=None, description=_TAGS)
    max_attempts: int | None = strawberry.field(default=None, description=_MAX_ATTEMPTS)


@decorators.input
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
        description="Drop it if it has not started within this long: above 0, longer than `start` "
        "is away, at most a year.",
    )
    tags: list[str] | None = strawberry.field(default=None, description=_TAGS)
    max_attempts: int | None = strawberry.field(default=None, description=_MAX_ATTEMPTS)


_NAMES: dict[str, tuple[str, ...]] = {
    "start_at": ("start", "at"),
    "start_in_s": ("start", "in_seconds"),
    "expires_in_s": ("expires_in_seconds",),
}

_NOTHING = EnqueueOptions()


def parse_options(
    given: TaskOptions | StepOptions | None, path: tuple[str, ...] = ("options",)
) -> EnqueueOptions:
    """Hand options to the engine, which has its limits.

    Raises:
        InvalidInput: one of them is beyond a limit.
    """
    if given is None:
        return _NOTHING
    values: dict[str, Any] = {
        "tags": tuple(given.tags or ()),
        "priority": given.priority,
        "max_attempts": given.max_attempts,
    }
    if isinstance(given, TaskOptions):
        values["idempotency_key"] = given.idempotency_key
        values["expires_in_s"] = given.expires_in_seconds
        if given.start:
            values |= _start(given.start, (*path, "start"))
    return checked_options(path, **values)


def _start(given: StartInput, path: tuple[str, ...]) -> dict[str, Any]:
    if given.at:
        return {"start_at": as_utc(given.at.value)}
    if given.in_seconds:
        return {"start_in_s": given.in_seconds.value}
    raise InvalidInput([Problem(path, NOT_ONE_OF)])


def checked_options(path: tuple[str, ...], **values: Any) -> EnqueueOptions:
    """Make options, naming what is beyond a limit as clients do.

    Raises:
        InvalidInput: one of them is.
    """
    try:
        return EnqueueOptions.model_validate(values)
    except ValidationError as error:
        problems = []
        for problem in problems_of(error):
            first, *rest = problem.path
            given = *path, *_NAMES.get(first, (first,)), *rest
            problems.append(Problem(given, problem.message))
        raise InvalidInput(problems) from error


OptionsArgument = Annotated[
    TaskOptions | None, strawberry.argument(description="What is asked beside the arguments.")
]

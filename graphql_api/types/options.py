"""The options of a task: priority, tags, attempts, start time, expiry and idempotency key."""

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
    """The earliest time at which a task may start."""

    at: strawberry.Maybe[datetime] = strawberry.field(
        default=None,
        description="A time. Without an offset it is in UTC; a time in the past means now.",
    )
    in_seconds: strawberry.Maybe[float] = strawberry.field(
        default=None,
        description="Seconds from now: 0 to 31,536,000 (one year).",
    )


def _read_start(cls: type[StartInput], given: Mapping[str, Any], _: InputContext) -> StartInput:
    """Accept any input: `parse_options` refuses it, so that only one item of a batch fails."""
    if not is_one_of(given):
        return cls()
    ((member, value),) = given.items()
    return cls(**{"at" if member == "at" else "in_seconds": strawberry.Some(value)})


get_object_definition(StartInput, strict=True).from_input = _read_start

_TAGS = "Tags to find the task by: at most 20, each of at most 100 characters."
_MAX_ATTEMPTS = (
    "The maximum number of attempts if the task asks for a retry or its worker is lost: 1 to 100."
)


@decorators.input
class StepOptions:
    """Options of one step of a workflow."""

    priority: Priority | None = strawberry.field(
        default=None,
        description="The priority in the queue. By default, the priority of the workflow.",
    )
    tags: list[str] | None = strawberry.field(default=None, description=_TAGS)
    max_attempts: int | None = strawberry.field(default=None, description=_MAX_ATTEMPTS)


@decorators.input
class TaskOptions:
    """Options of a task or a workflow."""

    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A key of at most 100 characters that makes it safe to send a request again. "
        "The same key with the same input returns the first task; with another input it is a "
        "conflict. A key is kept as long as the result.",
    )
    priority: Priority | None = strawberry.field(
        default=None, description="The priority in the queue. By default, NORMAL."
    )
    start: StartInput | None = strawberry.field(
        default=None, description="The earliest start. By default, now."
    )
    expires_in_seconds: float | None = strawberry.field(
        default=None,
        description="Seconds after which the task expires if it has not started: more than 0, "
        "later than `start`, and at most 31,536,000 (one year).",
    )
    tags: list[str] | None = strawberry.field(default=None, description=_TAGS)
    max_attempts: int | None = strawberry.field(default=None, description=_MAX_ATTEMPTS)


_CLIENT_PATHS: dict[str, tuple[str, ...]] = {
    "start_at": ("start", "at"),
    "start_in_s": ("start", "in_seconds"),
    "expires_in_s": ("expires_in_seconds",),
}

_DEFAULTS = EnqueueOptions()


def parse_options(
    given: TaskOptions | StepOptions | None, path: tuple[str, ...] = ("options",)
) -> EnqueueOptions:
    """Translate options for the engine and check their limits.

    Raises:
        InvalidInput: an option is beyond its limit.
    """
    if given is None:
        return _DEFAULTS
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
    """Check options, and report problems under the names that clients use.

    Raises:
        InvalidInput: an option is beyond its limit.
    """
    try:
        return EnqueueOptions.model_validate(values)
    except ValidationError as error:
        problems = []
        for problem in problems_of(error):
            first, *rest = problem.path
            given = *path, *_CLIENT_PATHS.get(first, (first,)), *rest
            problems.append(Problem(given, problem.message))
        raise InvalidInput(problems) from error


OptionsArgument = Annotated[
    TaskOptions | None, strawberry.argument(description="Options such as priority and tags.")
]

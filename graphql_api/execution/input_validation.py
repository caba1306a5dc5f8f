"""Validation of a mutation's input: with a timeout, off the event loop, and within the rate limit.

A task's own code may run here: the validators of its models.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from strawberry.pydantic.error import InputValidationError
from strawberry.types import get_object_definition
from strawberry.types.arguments import InputContext

from celeryql.definition.arguments import TaskArguments
from celeryql.errors import (
    InvalidInput,
    Problem,
    Unavailable,
    WorkflowTypeMismatch,
    plain_message,
)
from celeryql.task_errors import run_task_code
from graphql_api.execution.context import Info

T = TypeVar("T")

_TIMEOUT_S = 5.0  # for all input of one operation; the slowest that is allowed takes 0.5 s
# From this weight on (see `document_limits.py`) input is validated in a thread, which takes 0.1 ms
# to start.
_HEAVY = 100


@dataclass(frozen=True, slots=True)
class UncheckedArguments:
    """The arguments of a task before validation by the task's model.

    Strawberry would create the model while it reads arguments: on the event loop, and for a list
    all at once.
    """

    validate: Callable[[], TaskArguments]


def defer_validation(input_type: Any) -> None:
    """Let Strawberry read an input as `UncheckedArguments`."""
    definition = get_object_definition(input_type, strict=True)
    validate_now: Any = definition.from_input

    def read(made: type[Any], given: Mapping[str, Any], context: InputContext) -> Any:
        return UncheckedArguments(lambda: validate_now(made, given, context))

    definition.from_input = read


async def validate_arguments(info: Info, arguments: UncheckedArguments) -> TaskArguments:
    """Validate the arguments of a task.

    Raises:
        InvalidInput: the arguments are invalid, or the validation took too long.
    """
    try:
        return await validate_in_time(info, arguments.validate)
    except InputValidationError as error:
        problems = [
            Problem(tuple(e.location), plain_message(e.type, e.message)) for e in error.errors
        ]
        raise InvalidInput(problems) from None


async def validate_in_time(info: Info, work: Callable[[], T], argument: str = "input") -> T:
    """Validate an argument with a timeout; in a thread if the operation is large.

    Raises:
        InvalidInput: the operation's validations together take too long.
    """
    context = info.context
    if context.input_weight < _HEAVY:
        return run_task_code(work)
    began = perf_counter()
    try:
        async with asyncio.timeout(_TIMEOUT_S - context.input_check_s):
            return await asyncio.to_thread(run_task_code, work)
    except TimeoutError as error:
        text = f"Validation took longer than {_TIMEOUT_S:g} s: split the input"
        raise InvalidInput([Problem((argument,), text)]) from error
    finally:
        context.input_check_s += perf_counter() - began


@asynccontextmanager
async def charge_invalid_input(info: Info) -> AsyncIterator[None]:
    """Count invalid input against its owner's rate limit, as if it were accepted.

    Raises:
        Throttled: the owner has used up the rate limit.
    """
    submitter, owner = info.context.engine.submitter, info.context.viewer.subject
    submitter.check_rate(owner)
    try:
        yield
    except (InvalidInput, WorkflowTypeMismatch):
        try:
            await submitter.charge(owner)
        except Unavailable:
            info.context.is_redis_unavailable = True  # the input is known to be invalid
        raise

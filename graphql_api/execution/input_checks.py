"""Checking what a mutation is given: in a bounded time, off the event loop, and at a price."""

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
from graphql_api.context import Info

T = TypeVar("T")

_TIME_S = 5.0  # for all input of one operation; the slowest that is allowed takes half a second
# From this weight on (see `sizes.py`) input is checked in a thread, which takes 0.1 ms to begin.
_HEAVY = 100


@dataclass(frozen=True, slots=True)
class Unchecked:
    """The arguments of a task as they were given, before the task's model has seen them.

    Strawberry makes the model where it reads arguments: on the event loop, and for all of a list.
    """

    check: Callable[[], TaskArguments]


def check_later(input_type: Any) -> None:
    """Have Strawberry read an input as `Unchecked`."""
    definition = get_object_definition(input_type, strict=True)
    check_now: Any = definition.from_input

    def read(made: type[Any], given: Mapping[str, Any], context: InputContext) -> Any:
        return Unchecked(lambda: check_now(made, given, context))

    definition.from_input = read


async def checked(info: Info, given: Unchecked) -> TaskArguments:
    """Check the arguments of a task.

    Raises:
        InvalidInput: they break a limit of the task, or it took too long to find out.
    """
    try:
        return await in_time(info, given.check)
    except InputValidationError as error:
        problems = [
            Problem(tuple(e.location), plain_message(e.type, e.message)) for e in error.errors
        ]
        raise InvalidInput(problems) from None


async def in_time(info: Info, work: Callable[[], T], argument: str = "input") -> T:
    """Do the checking of an argument, in a thread where the operation is large.

    Raises:
        InvalidInput: together with what was checked before, it takes too long.
    """
    context = info.context
    if context.input_weight < _HEAVY:
        return run_task_code(work)
    began = perf_counter()
    try:
        async with asyncio.timeout(_TIME_S - context.input_check_s):
            return await asyncio.to_thread(run_task_code, work)
    except TimeoutError as error:
        text = f"To check all of it takes more than {_TIME_S:g} s: send less at a time"
        raise InvalidInput([Problem((argument,), text)]) from error
    finally:
        context.input_check_s += perf_counter() - began


@asynccontextmanager
async def priced(info: Info) -> AsyncIterator[None]:
    """Have input that is refused within count against its owner's rate, as if it were accepted.

    Raises:
        Throttled: the owner's refused input has used up the rate.
    """
    submitter, owner = info.context.engine.submitter, info.context.viewer.subject
    submitter.check_rate(owner)
    try:
        yield
    except (InvalidInput, WorkflowTypeMismatch):
        try:
            await submitter.charge(owner)
        except Unavailable:
            info.context.is_redis_unavailable = True  # the input is wrong all the same
        raise

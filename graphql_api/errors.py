"""The one place that turns the engine's errors into GraphQL.

Expected ones become members of a payload union; what a union has no member for is a top-level
error with a code; everything else is logged with an id and masked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import strawberry
from graphql import GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.pydantic.error import InputValidationError
from strawberry.schema import ExceptionHandler
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.utils.str_converters import to_camel_case

from graphql_api import described
from graphql_api.codes import Code
from graphql_api.context import Info
from graphql_api.types import Task
from tasks.engine import errors as engine
from tasks.engine.outages import is_outage

logger = logging.getLogger(__name__)


@described.interface
class Error:
    """Something that was expected to go wrong; nothing was accepted unless it says otherwise."""

    message: str = strawberry.field(description="What happened, and what to do next.")


@described.type
class InputProblem:
    """One thing wrong with an input."""

    path: list[str] = strawberry.field(
        description="From the argument down to the value, list positions included."
    )
    message: str = strawberry.field(description="Why the value is refused.")


@described.type
class InvalidInput(Error):
    """The input breaks a limit of the task or of the service."""

    problems: list[InputProblem] = strawberry.field(description="Every problem found.")


@described.type
class WorkflowTypeMismatch(Error):
    """A step would be handed a value of a type that it does not take; nothing was sent."""

    step_key: str = strawberry.field(description="The step that cannot take the value.")
    expected: str = strawberry.field(description="What it takes.")
    actual: str = strawberry.field(description="What it would be handed.")


@described.type
class Unavailable(Error):
    """Nothing was accepted, unless the message says that this is unknown."""

    retry_after_seconds: float = strawberry.field(description="When to try again, in seconds.")


@described.type
class IdempotencyConflict(Error):
    """The idempotency key was used before, for another input."""

    existing: Task = strawberry.field(description="The task that it was used for.")


@described.type
class NotFound(Error):
    """No such task was ever accepted, or it has passed retention."""


@described.type
class AlreadyFinished(Error):
    """The task has ended, so there is nothing to cancel."""

    task: Task = strawberry.field(description="The task, as it ended.")


@described.type
class NotFinished(Error):
    """The task has not ended, so it cannot be run once more."""

    task: Task = strawberry.field(description="The task, as it is now.")


def present_refusal(error: engine.Refusal, info: Info) -> Error:
    """Make the union member of a refusal."""
    present, message = info.context.present, str(error)
    made: Error
    match error:
        case engine.InvalidInput():
            made = _invalid_input(error)
        case engine.WorkflowTypeMismatch():
            made = WorkflowTypeMismatch(
                message=message,
                step_key=error.step_key,
                expected=error.expected,
                actual=error.actual,
            )
        case engine.IdempotencyConflict():
            made = IdempotencyConflict(message=message, existing=present(error.existing))
        case engine.AlreadyFinished():
            made = AlreadyFinished(message=message, task=present(error.task))
        case engine.NotFinished():
            made = NotFinished(message=message, task=present(error.task))
        case engine.Unavailable():
            made = Unavailable(message=message, retry_after_seconds=error.retry_after_s)
        case _:
            made = NotFound(message=message)
    return made


def _invalid_input(error: engine.InvalidInput) -> InvalidInput:
    # Named as clients name them, in the message too.
    renamed = engine.InvalidInput(
        [engine.Problem(tuple(map(to_camel_case, p.path)), p.message) for p in error.problems]
    )
    problems = [InputProblem(path=list(p.path), message=p.message) for p in renamed.problems]
    return InvalidInput(message=str(renamed), problems=problems)


@dataclass(frozen=True)
class _Handler:
    """Strawberry calls it where a field raises the one and may answer with the other."""

    exception_type: type[engine.Refusal]
    error_type: type[Error]

    def handle(self, exception: engine.Refusal, *, info: Info, **_: Any) -> Error:
        return present_refusal(exception, info)


class _InputValidation(ExceptionHandler[InputValidationError, InvalidInput]):
    def handle(self, exception: InputValidationError, *, info: Info, **_: Any) -> Any:
        problems = [engine.Problem(tuple(e.location), e.message) for e in exception.errors]
        return present_refusal(engine.InvalidInput(problems), info)


HANDLERS = (
    _InputValidation(),
    _Handler(engine.InvalidInput, InvalidInput),
    _Handler(engine.WorkflowTypeMismatch, WorkflowTypeMismatch),
    _Handler(engine.IdempotencyConflict, IdempotencyConflict),
    _Handler(engine.NotFound, NotFound),
    _Handler(engine.AlreadyFinished, AlreadyFinished),
    _Handler(engine.NotFinished, NotFinished),
    _Handler(engine.Unavailable, Unavailable),
)


def _is_unserialisable(error: GraphQLError) -> bool:
    # graphql-core raises its own error here too (an Int beyond 32 bits), but as no part of the
    # document is to blame, that one names none.
    origin = error.original_error
    return isinstance(origin, GraphQLError) and not origin.nodes and error.path is not None


def report(error: GraphQLError) -> GraphQLError:
    """Give a top-level error a code; mask and log what was not expected."""
    if "code" in (error.extensions or {}):
        return error
    if is_outage(error.original_error):
        message, code = "Redis did not answer in time: retry later", Code.UNAVAILABLE
    elif _is_unserialisable(error):
        where, code = ".".join(map(str, error.path or ())), Code.INTERNAL
        message = f"{where} has a value that its type cannot hold: {error.message}"
        logger.error(message)
    elif isinstance(error.original_error, CannotGetOperationTypeError):
        message, code = error.original_error.as_http_error_reason(), Code.BAD_USER_INPUT
    elif isinstance(error.original_error, InvalidOperationTypeError):
        operation = error.original_error.operation_type.value
        message, code = f"This is no way to send a {operation}", Code.BAD_USER_INPUT
    elif isinstance(error.original_error, GraphQLError | StrawberryInputCoercionError | None):
        message, code = error.message, Code.BAD_USER_INPUT
    else:
        error_id = uuid4().hex[:12]
        logger.error("Unexpected error %s", error_id, exc_info=error.original_error)
        message, code = f"Internal error {error_id}: it was logged", Code.INTERNAL
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": code},
    )

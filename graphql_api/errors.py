"""The one place that turns the engine's errors into GraphQL.

Expected ones become members of a payload union; what a union has no member for is a top-level
error with a code; everything else is logged with an id and masked.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import strawberry
from graphql import GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.pydantic.error import InputValidationError
from strawberry.schema import ExceptionHandler
from strawberry.utils.str_converters import to_camel_case

from graphql_api import described
from graphql_api.context import Info
from graphql_api.types import Task
from tasks.engine import errors as engine

logger = logging.getLogger(__name__)


class ApiError(GraphQLError):
    """A top-level error with a code that clients can rely on."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, extensions={"code": code})


def not_found(what: str) -> ApiError:
    """Say that something does not exist, or not for this viewer."""
    return ApiError(f"{what} was never accepted, or has passed retention", "NOT_FOUND")


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


def _invalid_input(error: engine.InvalidInput) -> InvalidInput:
    problems = [
        InputProblem(path=[to_camel_case(part) for part in p.path], message=p.message)
        for p in error.problems
    ]
    return InvalidInput(message=str(error), problems=problems)


class _InputValidation(ExceptionHandler[InputValidationError, InvalidInput]):
    def handle(self, exception: InputValidationError, **_: Any) -> InvalidInput:
        problems = [engine.Problem(tuple(e.location), e.message) for e in exception.errors]
        return _invalid_input(engine.InvalidInput(problems))


class _EngineInvalidInput(ExceptionHandler[engine.InvalidInput, InvalidInput]):
    def handle(self, exception: engine.InvalidInput, **_: Any) -> InvalidInput:
        return _invalid_input(exception)


class _TypeMismatch(ExceptionHandler[engine.WorkflowTypeMismatch, WorkflowTypeMismatch]):
    def handle(self, exception: engine.WorkflowTypeMismatch, **_: Any) -> WorkflowTypeMismatch:
        return WorkflowTypeMismatch(
            message=str(exception),
            step_key=exception.step_key,
            expected=exception.expected,
            actual=exception.actual,
        )


class _Unavailability(ExceptionHandler[engine.Unavailable, Unavailable]):
    def handle(self, exception: engine.Unavailable, **_: Any) -> Unavailable:
        return Unavailable(message=str(exception), retry_after_seconds=exception.retry_after_s)


class _Conflict(ExceptionHandler[engine.IdempotencyConflict, IdempotencyConflict]):
    def handle(
        self, exception: engine.IdempotencyConflict, *, info: Info, **_: Any
    ) -> IdempotencyConflict:
        existing = info.context.present(exception.existing)
        return IdempotencyConflict(message=str(exception), existing=existing)


HANDLERS = (
    _InputValidation(),
    _EngineInvalidInput(),
    _TypeMismatch(),
    _Conflict(),
    _Unavailability(),
)


def report(error: GraphQLError) -> GraphQLError:
    """Give a top-level error a code; mask and log what was not expected."""
    if "code" in (error.extensions or {}):
        return error
    if engine.is_outage(error.original_error):
        message, code = "Redis did not answer in time: retry later", "UNAVAILABLE"
    elif isinstance(error.original_error, GraphQLError | StrawberryInputCoercionError | None):
        message, code = error.message, "BAD_USER_INPUT"
    else:
        error_id = uuid4().hex[:12]
        logger.error("Unexpected error %s", error_id, exc_info=error.original_error)
        message, code = f"Internal error {error_id}: it was logged", "INTERNAL"
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": code},
    )

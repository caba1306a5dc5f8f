"""The one place that turns the engine's errors into GraphQL.

Expected ones become members of a payload union; what a union has no member for is a top-level
error with a code; everything else is logged with an id and masked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from graphql import GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.pydantic.error import InputValidationError
from strawberry.schema import ExceptionHandler
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.utils.str_converters import to_camel_case

from graphql_api.codes import Code
from graphql_api.context import Info
from graphql_api.refusals import (
    AlreadyFinished,
    Error,
    IdempotencyConflict,
    InputProblem,
    InvalidInput,
    NotFinished,
    NotFound,
    Unavailable,
    WorkflowTypeMismatch,
)
from tasks.engine import errors as engine
from tasks.engine.outages import is_outage

logger = logging.getLogger(__name__)


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
        """Answer with the member of this refusal."""
        return present_refusal(exception, info)


class _InputValidation(ExceptionHandler[InputValidationError, InvalidInput]):
    """Strawberry calls it where an input breaks a limit of the model it is made of."""

    def handle(self, exception: InputValidationError, *, info: Info, **_: Any) -> Any:
        """Answer with every problem found."""
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

"""Translates the engine's errors into GraphQL errors; no other module does.

An expected error becomes a member of the mutation's payload union. If the union has no such member,
it becomes a top-level error with a code. All other errors are logged under an id and masked.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError, StrawberryInputCoercionError
from strawberry.schema import ExceptionHandler
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.base import StrawberryOptional
from strawberry.types.field import StrawberryField
from strawberry.types.union import StrawberryUnion
from strawberry.utils.str_converters import to_camel_case

from celeryql import errors as engine
from celeryql.outages import is_outage
from graphql_api.api_errors import FIELD_ERRORS_MAX, ApiError, ErrorCode, log_and_mask, shorten
from graphql_api.execution.context import Info
from graphql_api.types.enums import Scope
from graphql_api.types.payload_errors import (
    AlreadyFinished,
    Error,
    Forbidden,
    IdempotencyConflict,
    InputProblem,
    InvalidInput,
    NotFinished,
    NotFound,
    Throttled,
    Unavailable,
    WorkflowTypeMismatch,
)

_REQUEST_ERRORS_MAX = 10  # per answer, for errors in the operation itself
_LOCATIONS_MAX = 10  # per error; without a limit each argument could add one

logger = logging.getLogger(__name__)


def present_refusal(error: engine.Refusal, info: Info, path: tuple[str, ...] = ()) -> Error:
    """Make the payload member for a refusal.

    Args:
        error: its problems have paths relative to `path`.
        info: the info of the mutation field.
        path: the path of the refused value in the field's arguments.
    """
    info.context.is_refused = True
    info.context.is_redis_unavailable |= isinstance(error, engine.Unavailable)
    message = shorten(str(error))
    match error:
        case engine.IdempotencyConflict() | engine.AlreadyFinished() | engine.NotFinished():
            return _refusal_about_a_task(error, info, path)
        case engine.InvalidInput():
            return _invalid_input(error, path)
        case engine.WorkflowTypeMismatch(step_key=key, expected=expected, actual=actual):
            return WorkflowTypeMismatch(
                message=message, step_key=key, expected=expected, actual=actual
            )
        case engine.Forbidden():
            return Forbidden(message=message, missing=Scope[error.missing])
        case engine.Throttled() | engine.Unavailable():
            busy = Throttled if isinstance(error, engine.Throttled) else Unavailable
            return busy(message=message, retry_after_seconds=error.retry_after_s)
    return NotFound(message=message)


def _refusal_about_a_task(
    error: engine.IdempotencyConflict | engine.AlreadyFinished | engine.NotFinished,
    info: Info,
    path: tuple[str, ...],
) -> Error:
    message, to_graphql = str(error), info.context.to_graphql
    match error:
        case engine.AlreadyFinished():
            return AlreadyFinished(message=message, task=to_graphql(error.task))
        case engine.NotFinished():
            return NotFinished(message=message, task=to_graphql(error.task))
    if info.context.viewer.may_see(error.existing):
        return IdempotencyConflict(message=message, existing=to_graphql(error.existing))
    # The usual message would reveal the id of a task that the viewer may not see.
    place = ("idempotencyKey",) if info.field_name == "retryTask" else ("options", "idempotencyKey")
    problem = engine.Problem(place, "This idempotency key is already in use: choose another")
    return _invalid_input(engine.InvalidInput([problem]), path)


def _invalid_input(error: engine.InvalidInput, path: tuple[str, ...]) -> InvalidInput:
    # Paths use the names that clients know, in the message as well.
    renamed = engine.InvalidInput(
        [
            engine.Problem((*path, *map(to_camel_case, p.path)), shorten(p.message))
            for p in error.problems
        ]
    )
    problems = [InputProblem(path=list(p.path), message=p.message) for p in renamed.problems]
    return InvalidInput(message=str(renamed), problems=problems)


_MEMBERS: dict[type[engine.Refusal], type[Error]] = {
    engine.InvalidInput: InvalidInput,
    engine.WorkflowTypeMismatch: WorkflowTypeMismatch,
    engine.IdempotencyConflict: IdempotencyConflict,
    engine.NotFound: NotFound,
    engine.AlreadyFinished: AlreadyFinished,
    engine.NotFinished: NotFinished,
    engine.Forbidden: Forbidden,
    engine.Throttled: Throttled,
    engine.Unavailable: Unavailable,
}


class _RefusalHandler(ExceptionHandler[engine.Refusal, Forbidden]):
    """Turns refusals into payload members; Strawberry calls it for fields that return `Forbidden`.

    All payloads have `Forbidden`. One handler for each refusal would take a sixth of the time that
    it takes to build the schema, as Strawberry looks up each handler at each field.
    """

    def handle(self, exception: engine.Refusal, *, field: StrawberryField, info: Info) -> Any:
        """Return the member for a refusal, or None if the payload has no such member."""
        payload, member = _unwrap_optional(field.type), _MEMBERS.get(type(exception))
        is_member = isinstance(payload, StrawberryUnion) and member in payload.types
        return present_refusal(exception, info) if is_member else None


def _unwrap_optional(type_: Any) -> Any:
    return type_.of_type if isinstance(type_, StrawberryOptional) else type_


EXCEPTION_HANDLERS = (_RefusalHandler(),)


def _is_unserializable(error: GraphQLError) -> bool:
    # graphql-core raises a GraphQLError if a value does not fit its type, such as an Int beyond
    # 32 bits. It has no nodes, because no part of the document is wrong.
    origin = error.original_error
    return isinstance(origin, GraphQLError) and not origin.nodes and error.path is not None


def _request_error(error: GraphQLError) -> str | None:
    """Return the message for an operation that is itself invalid, or None for other errors."""
    match error.original_error:
        case CannotGetOperationTypeError() as origin:
            return origin.as_http_error_reason()
        case InvalidOperationTypeError() as origin:
            return f"A {origin.operation_type.value} cannot be sent in this way"
        case GraphQLError() | StrawberryInputCoercionError() | None:
            return _without_python(error.message)
        case MissingQueryError():
            return "The request has no `query`"
        case ValueError() if error.path is None:
            # Python refuses to parse integers of thousands of digits.
            return "The document has a number with too many digits"
    return None


# The ends of graphql-core's messages that show a value in Python's syntax, except for numbers and
# strings.
_VALUE = r"[\[{]|(?:None|True|False|-?inf)\.?$"
_INFINITE = re.compile(r"non numeric value: -?inf$")  # Python parses 1e400 as inf
_PYTHONS_VALUE = re.compile(rf"(?:(, found)| Found|(?<= value)(?=: (?:{_VALUE}))): .*", re.DOTALL)


def _without_python(message: str) -> str:
    """Remove Python's form of a value from a message; the client knows the value."""
    message = _INFINITE.sub("a number beyond 1.8e308", message)
    message = _PYTHONS_VALUE.sub(lambda end: "." if end[1] else "", message)
    return message.replace("not to be None", "not to be null")


def report_all(errors: list[GraphQLError]) -> list[GraphQLError]:
    """Report the first errors of an operation, and the number of those that are left out."""
    of_fields = errors and errors[0].path is not None
    most = FIELD_ERRORS_MAX if of_fields else _REQUEST_ERRORS_MAX
    reported = [report(error) for error in errors[:most]]
    if len(errors) > most:
        text = f"{len(errors) - most:,} more errors are left out: select fewer fields or items"
        reported.append(ApiError(text, ErrorCode.BAD_USER_INPUT))
    return reported


def report(error: GraphQLError) -> GraphQLError:
    """Add a code to a top-level error; log and mask an unexpected error."""
    if error.locations:
        error.locations = error.locations[:_LOCATIONS_MAX]
    if "code" in (error.extensions or {}):
        return error
    if is_outage(error.original_error) or isinstance(error.original_error, engine.Unavailable):
        message, code = "Redis did not answer in time: retry later", ErrorCode.UNAVAILABLE
    elif isinstance(error.original_error, engine.Forbidden):
        message, code = str(error.original_error), ErrorCode.FORBIDDEN
    elif isinstance(error.original_error, engine.StoredByAnotherRelease):
        message, code = str(error.original_error), ErrorCode.STORED_BY_ANOTHER_RELEASE
    elif _is_unserializable(error):
        where, code = ".".join(map(str, error.path or ())), ErrorCode.INTERNAL
        message = f"{where} has a value that its type cannot hold: {error.message}"
        logger.error(message)
    elif text := _request_error(error):
        message, code = text, ErrorCode.BAD_USER_INPUT
    else:
        message, code = log_and_mask(error.original_error), ErrorCode.INTERNAL
    reported = GraphQLError(shorten(message), path=error.path, extensions={"code": code})
    reported.locations = error.locations  # computing them again would parse the document again
    return reported

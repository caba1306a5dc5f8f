"""The errors that a mutation can return as members of its payload union.

`resolvers/error_mapping.py` makes them from the engine's errors.
"""

from __future__ import annotations

import strawberry

from graphql_api.types import decorators
from graphql_api.types.enums import Scope
from graphql_api.types.task import Task


@decorators.interface
class Error:
    """An expected error. Nothing was accepted unless the error says otherwise."""

    message: str = strawberry.field(description="What happened and what to do next.")


@decorators.type
class InputProblem:
    """One problem in an input."""

    path: list[str] = strawberry.field(
        description="The path from the argument to the value, with list indexes. A single value "
        "that was coerced to a list has index 0."
    )
    message: str = strawberry.field(description="Why the value was refused.")


@decorators.type
class InvalidInput(Error):
    """The input breaks a limit of the task or of the service."""

    problems: list[InputProblem] = strawberry.field(description="The first 100 problems.")


@decorators.type
class WorkflowTypeMismatch(Error):
    """A step would receive a value of a type that it does not accept. Nothing was enqueued."""

    step_key: str = strawberry.field(description="The key of the step.")
    expected: str = strawberry.field(description="The type that the step accepts.")
    actual: str = strawberry.field(description="The type of the value.")


@decorators.type
class Unavailable(Error):
    """Redis did not answer, or accepts no writes.

    Nothing was accepted, unless the message says that this is unknown.
    """

    retry_after_seconds: float = strawberry.field(
        description="The number of seconds to wait before trying again."
    )


@decorators.type
class IdempotencyConflict(Error):
    """The idempotency key was already used with another input."""

    existing: Task = strawberry.field(description="The task for which the key was used.")


@decorators.type
class NotFound(Error):
    """No task with this id was ever accepted, or it has expired."""


@decorators.type
class Forbidden(Error):
    """The token does not allow this operation. Nothing was changed."""

    missing: Scope = strawberry.field(description="A scope that the operation needs.")


@decorators.type
class Throttled(Error):
    """The queue is full or the rate limit was exceeded. Nothing was accepted."""

    retry_after_seconds: float = strawberry.field(
        description="The number of seconds to wait before trying again."
    )


@decorators.type
class AlreadyFinished(Error):
    """The task has already ended and cannot be canceled."""

    task: Task = strawberry.field(description="The task in its final state.")


@decorators.type
class NotFinished(Error):
    """The task has not ended yet and cannot be retried."""

    task: Task = strawberry.field(description="The task in its current state.")

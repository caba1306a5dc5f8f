"""What a mutation answers in place of success: the members of payload unions that are errors.

How the engine's errors become one of them is in `errors.py`.
"""

from __future__ import annotations

import strawberry

from graphql_api.types import decorators
from graphql_api.types.enums import Scope
from graphql_api.types.task import Task


@decorators.interface
class Error:
    """Something that was expected to go wrong; nothing was accepted unless it says otherwise."""

    message: str = strawberry.field(description="What happened, and what to do next.")


@decorators.type
class InputProblem:
    """One thing wrong with an input."""

    path: list[str] = strawberry.field(
        description="From the argument down to the value, list positions included; a value that "
        "stands for a list of one is at position 0."
    )
    message: str = strawberry.field(description="Why the value is refused.")


@decorators.type
class InvalidInput(Error):
    """The input breaks a limit of the task or of the service."""

    problems: list[InputProblem] = strawberry.field(description="What was found: the first 100.")


@decorators.type
class WorkflowTypeMismatch(Error):
    """A step would be handed a value of a type that it does not take; nothing was sent."""

    step_key: str = strawberry.field(description="The step that cannot take the value.")
    expected: str = strawberry.field(description="What it takes.")
    actual: str = strawberry.field(description="What it would be handed.")


@decorators.type
class Unavailable(Error):
    """Nothing was accepted, unless the message says that this is unknown."""

    retry_after_seconds: float = strawberry.field(description="When to try again, in seconds.")


@decorators.type
class IdempotencyConflict(Error):
    """The idempotency key was used before, for another input."""

    existing: Task = strawberry.field(description="The task that it was used for.")


@decorators.type
class NotFound(Error):
    """No such task was ever accepted, or it has passed retention."""


@decorators.type
class Forbidden(Error):
    """Your token does not allow this; nothing was done."""

    missing: Scope = strawberry.field(description="The scope that would allow it.")


@decorators.type
class Throttled(Error):
    """Too much was asked for in too short a time; nothing was accepted."""

    retry_after_seconds: float = strawberry.field(description="When to try again, in seconds.")


@decorators.type
class AlreadyFinished(Error):
    """The task has ended, so there is nothing to cancel."""

    task: Task = strawberry.field(description="The task, as it ended.")


@decorators.type
class NotFinished(Error):
    """The task has not ended, so it cannot be run once more."""

    task: Task = strawberry.field(description="The task, as it is now.")

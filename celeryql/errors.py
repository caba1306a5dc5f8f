"""Every expected failure of the engine, as one tree; outages of Redis are in `outages.py`.

CeleryQLError
├── BadSettings            settings are invalid or contradictory: the process does not start
├── BadTaskDefinition      a task cannot be exposed: the process does not start
├── CursorExpired          events after a cursor are no longer stored
├── DocumentTooLarge       a stored value has more objects than one read allows
├── EmbeddedRedisError     there is no private Redis (in `redis_server.py`, with PortTaken)
├── InvalidArguments       a message has arguments that do not fit its task
├── InvalidResult          a task returned a value that its return type does not allow
├── StoredByAnotherRelease this release cannot read what another one stored
├── UnknownCursor          no event has this cursor yet
└── Refusal                an operation is not accepted; nothing was sent
    ├── InvalidInput
    ├── WorkflowTypeMismatch
    ├── IdempotencyConflict
    ├── NotFound
    ├── AlreadyFinished
    ├── NotFinished
    ├── Forbidden
    ├── Throttled
    └── Unavailable

The exceptions of task bodies are in `task_errors.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from celeryql.records import Cursor, Record, TaskId

_PROBLEMS_SHOWN = 3  # problems in a message
_PROBLEMS_KEPT = 100  # problems of one input, which can have one for each value

# Problems of a process that come from Redis. Restarting the process does not solve them.
REDIS = "Redis"
REDIS_DOES_NOT_ANSWER = f"{REDIS} does not answer"
REDIS_ANSWERS_WITH_AN_ERROR = f"{REDIS} answers with an error"


class CeleryQLError(Exception):
    """Base of all expected failures."""


class BadSettings(CeleryQLError):
    """Settings are invalid, missing or contradictory, or name a file that cannot be read."""


class BadTaskDefinition(CeleryQLError):
    """A task cannot be exposed: its signature or its name cannot be used."""

    def __init__(self, task: str, reason: str) -> None:
        self.task = task
        self.reason = reason
        super().__init__(f"Task {task!r} cannot be exposed: {reason}")


class CursorExpired(CeleryQLError):
    """Events after a cursor are no longer stored."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        super().__init__(
            f"Events after {cursor!r} are no longer stored: query again, then subscribe"
        )


class DocumentTooLarge(CeleryQLError):
    """A stored value has more objects than one read allows."""


class UnknownCursor(CeleryQLError):
    """No event has this cursor yet."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        super().__init__(
            f"No event has the cursor {cursor!r} yet: use the `cursor` of an event or of an answer"
        )


class StoredByAnotherRelease(CeleryQLError):
    """A workflow was stored in a form that this release cannot read."""

    def __init__(self, task_id: TaskId) -> None:
        self.task_id = task_id
        super().__init__(
            f"Another release stored the steps of workflow {task_id} in another form: "
            "read them with that release"
        )


class InvalidArguments(CeleryQLError):
    """The arguments of a message do not fit its task."""


class InvalidResult(CeleryQLError):
    """A task returned a value that its return type does not allow."""


class Refusal(CeleryQLError):
    """Base of the reasons why an operation is not accepted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of an input.

    Attributes:
        path: the names from the argument of the operation to the value.
        message: what is wrong with it.
    """

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.message}" if self.path else self.message


def problems_of(error: ValidationError, path: tuple[str, ...] = ()) -> list[Problem]:
    """Convert the errors of pydantic, without the values, which may be sensitive.

    Args:
        error: the error of the model that validated an input.
        path: the path of that input in the operation.
    """
    found = error.errors(include_url=False)
    return [Problem((*path, *map(str, e["loc"])), message_of(e)) for e in found]


def message_of(error: ErrorDetails) -> str:
    """Return the message of one error of pydantic."""
    is_wrong_type = error["type"].endswith("_type") or error["type"] == "enum"
    if is_wrong_type and error["input"] is None:
        return "Value should not be null"
    return plain_message(error["type"], error["msg"])


# "Value" stands for a list that a custom validator saw before pydantic counted its items.
_PYTHON_LISTS = ("Tuple", "Set", "Frozenset", "Value")


def plain_message(kind: str, message: str) -> str:
    """Reword a message of pydantic for readers who do not know Python.

    Args:
        kind: pydantic's type of the error.
        message: pydantic's message.
    """
    if kind in ("too_short", "too_long"):
        what, _, limit = message.replace(" after validation", "").partition(" ")
        return f"{'List' if what in _PYTHON_LISTS else what} {limit}"
    if kind == "string_unicode":
        return "String should be Unicode, without a lone surrogate"
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


class InvalidInput(Refusal):
    """An input is wrong, or exceeds the limits of a task or of the service."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems[:_PROBLEMS_KEPT]
        shown = "; ".join(map(str, problems[:_PROBLEMS_SHOWN]))
        more = (
            f" (and {len(problems) - _PROBLEMS_SHOWN} more)"
            if len(problems) > _PROBLEMS_SHOWN
            else ""
        )
        super().__init__(f"Invalid input: {shown}{more}")


class WorkflowTypeMismatch(Refusal):
    """A step would receive a value of a type that it does not take."""

    def __init__(self, step_key: str, expected: str, actual: str) -> None:
        self.step_key = step_key
        self.expected = expected
        self.actual = actual
        super().__init__(f"Step {step_key!r} takes {expected}, but receives {actual}")


class IdempotencyConflict(Refusal):
    """The idempotency key was used before with another input."""

    def __init__(self, key: str, existing: Record) -> None:
        self.key = key
        self.existing = existing
        super().__init__(
            f"Idempotency key {key!r} was used for another input, by task {existing.id}: "
            "use a new key for new work"
        )


class NotFound(Refusal):
    """No such task was ever accepted, or it has expired."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"Task {task_id!r} was never accepted, or has expired")


class AlreadyFinished(Refusal):
    """The task has ended, so it cannot be canceled."""

    def __init__(self, task: Record) -> None:
        self.task = task
        super().__init__(f"Task {task.id} has already ended: it is {task.state}")


class NotFinished(Refusal):
    """The task has not ended, so it cannot be retried."""

    def __init__(self, task: Record) -> None:
        self.task = task
        super().__init__(f"Task {task.id} is {task.state}: wait until it ends, or cancel it")


class Forbidden(Refusal):
    """The client may not do this; `missing` is the scope that would allow it."""

    def __init__(self, missing: str, message: str | None = None) -> None:
        self.missing = missing
        super().__init__(message or f"This needs the scope {missing}, which your token lacks")


class Throttled(Refusal):
    """The queue is full, or the owner enqueues too fast; nothing was accepted."""

    def __init__(self, what: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        reasons = {"queue": "The queue is full", "rate": "Too many tasks were enqueued recently"}
        super().__init__(f"{reasons[what]}: try again in {retry_after_s:g} s")


class Unavailable(Refusal):
    """Redis did not answer in time.

    Attributes:
        outcome_unknown: the request was sent, so it may have been accepted. Otherwise nothing was
            accepted.
        refused: Redis answered that it refuses writes now.
    """

    retry_after_s = 1.0

    def __init__(self, *, outcome_unknown: bool, refused: bool = False) -> None:
        self.outcome_unknown = outcome_unknown
        self.refused = refused
        reason = "Redis refuses writes now" if refused else "Redis cannot be reached"
        super().__init__(
            "Redis did not answer in time. It is unknown whether the work was accepted: "
            "retry with the same idempotency key"
            if outcome_unknown
            else f"{reason}. Nothing was accepted: retry later"
        )


@contextmanager
def exit_on_bad_configuration() -> Iterator[None]:
    """Print why a task or a setting cannot be used, without a traceback, and exit.

    The exit code tells the supervisor that a restart does not help.
    """
    try:
        yield
    except (BadSettings, BadTaskDefinition) as error:
        sys.stderr.write(f"{error}.\n")
        raise SystemExit(os.EX_CONFIG) from error

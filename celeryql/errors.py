"""Every expected failure of the engine, as one tree; what Redis fails with is in `outages.py`.

CeleryQLError
├── BadSettings            settings contradict each other, or lack something: refused at start
├── BadTaskDefinition      a task file is wrong: refused at start
├── CursorExpired          a stream cannot go on behind a cursor: what follows it is not kept
├── DocumentTooLarge       a stored value has more in it than is read at once
├── EmbeddedRedisError     there is no private Redis (in `redis_server.py`, with PortTaken)
├── InvalidArguments       a worker was handed arguments that do not fit the task
├── InvalidResult          a task returned what its return type does not allow
├── StoredByAnotherRelease what is kept in Redis has another form than this release reads
├── UnknownCursor          no event has this cursor yet
└── Refusal                an operation that cannot be accepted; nothing was sent
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
_PROBLEMS_KEPT = 100  # problems of one input, which may have one for each of its values

# Problems of a process that come from Redis. Restarting the process does not solve them.
REDIS = "Redis"
REDIS_DOES_NOT_ANSWER = f"{REDIS} does not answer"
REDIS_ANSWERS_WITH_AN_ERROR = f"{REDIS} answers with an error"


class CeleryQLError(Exception):
    """Base of all expected failures."""


class BadSettings(CeleryQLError):
    """Settings contradict each other, lack something, or name what cannot be read."""


class BadTaskDefinition(CeleryQLError):
    """A task function cannot be offered: its signature is incomplete or its name is taken."""

    def __init__(self, task: str, reason: str) -> None:
        self.task = task
        self.reason = reason
        super().__init__(f"Task {task!r} cannot be offered: {reason}")


class CursorExpired(CeleryQLError):
    """Events behind a cursor are not kept any more."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        super().__init__(
            f"Events behind {cursor!r} are not kept any more: query again, then subscribe"
        )


class DocumentTooLarge(CeleryQLError):
    """A stored value has more in it than is read at once."""


class UnknownCursor(CeleryQLError):
    """No event has this cursor yet."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        super().__init__(
            f"No event has the cursor {cursor!r} yet: use the `cursor` of an event or of an answer"
        )


class StoredByAnotherRelease(CeleryQLError):
    """What is kept of a workflow has another form than this release reads."""

    def __init__(self, task_id: TaskId) -> None:
        self.task_id = task_id
        super().__init__(
            f"The steps of workflow {task_id} were stored by another release in another form: "
            "read them with that release"
        )


class InvalidArguments(CeleryQLError):
    """The arguments of a message do not fit the task they name."""


class InvalidResult(CeleryQLError):
    """A task returned what its return type does not allow."""


class Refusal(CeleryQLError):
    """Base of what an operation answers when it is not accepted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: `path` leads from the operation's argument to the value."""

    path: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.message}" if self.path else self.message


def problems_of(error: ValidationError, path: tuple[str, ...] = ()) -> list[Problem]:
    """List what pydantic refused, but not the values, which may be sensitive.

    Args:
        error: of a model that stands for what a client gave.
        path: where that stands in the operation.
    """
    found = error.errors(include_url=False)
    return [Problem((*path, *map(str, e["loc"])), message_of(e)) for e in found]


def message_of(error: ErrorDetails) -> str:
    """Say what pydantic refused of one value."""
    is_of_no_type = error["type"].endswith("_type") or error["type"] == "enum"
    if is_of_no_type and error["input"] is None:
        return "Value should not be null"
    return plain_message(error["type"], error["msg"])


# "Value" is what a validator of one's own has looked at before pydantic counts its items.
_PYTHON_LISTS = ("Tuple", "Set", "Frozenset", "Value")


def plain_message(kind: str, message: str) -> str:
    """Word what pydantic says for readers who do not know Python.

    Args:
        kind: pydantic's name for the error.
        message: what it says.
    """
    if kind in ("too_short", "too_long"):
        what, _, limit = message.replace(" after validation", "").partition(" ")
        return f"{'List' if what in _PYTHON_LISTS else what} {limit}"
    if kind == "string_unicode":
        return "String should be Unicode, without a lone surrogate"
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


class InvalidInput(Refusal):
    """An input breaks the limits of a task or of the service; the first problems say how."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems[:_PROBLEMS_KEPT]
        places = "; ".join(map(str, problems[:_PROBLEMS_SHOWN]))
        more = (
            f" (and {len(problems) - _PROBLEMS_SHOWN} more)"
            if len(problems) > _PROBLEMS_SHOWN
            else ""
        )
        super().__init__(f"Invalid input: {places}{more}")


class WorkflowTypeMismatch(Refusal):
    """A step would be handed a value of a type that it does not take."""

    def __init__(self, step_key: str, expected: str, actual: str) -> None:
        self.step_key = step_key
        self.expected = expected
        self.actual = actual
        super().__init__(f"Step {step_key!r} takes {expected}, but receives {actual}")


class IdempotencyConflict(Refusal):
    """The idempotency key was used before, for another input."""

    def __init__(self, key: str, existing: Record) -> None:
        self.key = key
        self.existing = existing
        super().__init__(
            f"Idempotency key {key!r} was used for another input, by task {existing.id}: "
            "use a new key for new work"
        )


class NotFound(Refusal):
    """No such task was ever accepted, or it has passed retention."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"Task {task_id!r} was never accepted, or has passed retention")


class AlreadyFinished(Refusal):
    """The task has ended, so there is nothing to cancel."""

    def __init__(self, task: Record) -> None:
        self.task = task
        super().__init__(f"Task {task.id} has already ended: it is {task.state}")


class NotFinished(Refusal):
    """The task has not ended, so it cannot be run once more."""

    def __init__(self, task: Record) -> None:
        self.task = task
        super().__init__(f"Task {task.id} is {task.state}: wait for its end, or cancel it")


class Forbidden(Refusal):
    """Who asks may not do this; `missing` names the scope that would allow it."""

    def __init__(self, missing: str, message: str | None = None) -> None:
        self.missing = missing
        super().__init__(message or f"This needs the scope {missing}, which your token lacks")


class Throttled(Refusal):
    """There is too much already; nothing was accepted."""

    def __init__(self, what: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        reasons = {"queue": "The queue is full", "rate": "Too many tasks were enqueued of late"}
        super().__init__(f"{reasons[what]}: try again in {retry_after_s:g} s")


class Unavailable(Refusal):
    """Redis did not answer in time.

    Attributes:
        outcome_unknown: the request had left when the answer failed to come, so it may have been
            accepted. Otherwise nothing was.
        refused: Redis answered that it takes no writes now.
    """

    retry_after_s = 1.0

    def __init__(self, *, outcome_unknown: bool, refused: bool = False) -> None:
        self.outcome_unknown = outcome_unknown
        self.refused = refused
        reason = "Redis takes no writes now" if refused else "Redis cannot be reached"
        super().__init__(
            "Redis did not answer in time. It is unknown whether the work was accepted: "
            "retry with the same idempotency key"
            if outcome_unknown
            else f"{reason}. Nothing was accepted: retry later"
        )


@contextmanager
def exit_on_bad_configuration() -> Iterator[None]:
    """End this process where a task or a setting cannot be used, and say why without a traceback.

    The exit code is the one by which the supervisor knows that starting again does not help.
    """
    try:
        yield
    except (BadSettings, BadTaskDefinition) as error:
        sys.stderr.write(f"{error}.\n")
        raise SystemExit(os.EX_CONFIG) from error

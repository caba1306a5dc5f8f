"""Exceptions of task bodies: how a body asks for a retry, and how what it raises is reported.

Celery stores an exception that it cannot pickle as another one, and its thread and greenlet pools
report nothing at all if a body raises something that is not an `Exception`. `make_reportable`
replaces such an exception by one that keeps its name and text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from celery import current_task
from celery.exceptions import TaskPredicate
from celery.utils.serialization import get_pickleable_exception

_TEXT_MAX = 10_000  # characters; each event of the task carries the text

T = TypeVar("T")


class Retryable(Exception):
    """Raised by a task body that failed and may succeed when it runs again.

    The task runs again after a random pause, whose limit doubles with each attempt, until it has
    run `maxAttempts` times.

    Args:
        message: what went wrong.
        after_s: the pause in seconds, instead of the random one.
    """

    def __init__(self, message: str = "", after_s: float | None = None) -> None:
        self.after_s = after_s
        super().__init__(message)


class ReportableError(Exception):
    """Replaces an exception that Celery cannot report as it is.

    Args:
        name: class name of the exception.
        text: its text.
        is_retryable: whether it was a `Retryable`.
    """

    def __init__(self, name: str, text: str, is_retryable: bool = False) -> None:  # noqa: FBT001, FBT002  # pickled by position
        super().__init__(name, text, is_retryable)
        self.name, self.text, self.is_retryable = name, text, is_retryable

    def __str__(self) -> str:
        """Return the text of the exception."""
        return self.text

    def __repr__(self) -> str:
        """Look like the exception in logs."""
        return f"{self.name}({self.text!r})"


def make_reportable(error: BaseException) -> BaseException:
    """Return an exception that every pool can report: in most cases the given one."""
    if _is_for_celery(error) or _keeps_its_form(error):
        return error
    return ReportableError(error_name(error), error_text(error), is_retryable(error))


def run_task_code(do: Callable[[], T]) -> T:
    """Call code of a task's author, such as a validator, so that each failure is an `Exception`.

    Otherwise a validator that calls `sys.exit()` would end the process that checks arguments.

    Raises:
        ReportableError: the code raised something that is not an `Exception`, and that does not
            tell Celery to end the process.
    """
    try:
        return do()
    except Exception:
        raise
    except BaseException as error:
        reportable = make_reportable(error)
        if reportable is error:
            raise
        raise reportable from error


def error_name(error: object) -> str:
    """Return the class name of what a task body raised."""
    if isinstance(error, ReportableError):
        return error.name
    return type(error).__name__ if isinstance(error, BaseException) else "Exception"


def error_text(error: object) -> str:
    """Return the text of what a task body raised; of a KeyError the key itself, not its repr."""
    try:
        shown = error
        if isinstance(error, KeyError) and type(error).__str__ is KeyError.__str__ and error.args:
            shown = error.args[0]
        text = str(shown)
    except BaseException as problem:  # noqa: BLE001  # raised by the task's own code
        kind = type(error).__name__
        text = f"{kind} has no text: its __str__ raised {type(problem).__name__}"
    # Lone surrogates, which a file name may contain, cannot be encoded.
    return text.encode("utf-8", "replace").decode()[:_TEXT_MAX]


def is_retryable(error: object) -> bool:
    """Return whether a task body raised this to be run again."""
    return isinstance(error, Retryable) or (
        isinstance(error, ReportableError) and error.is_retryable
    )


def _is_for_celery(error: BaseException) -> bool:
    """Return whether Celery acts on it: `Retry`, `Ignore`, `Reject`, or the end of the process."""
    if isinstance(error, Exception):
        return isinstance(error, TaskPredicate)
    from billiard.common import terminate_handler_fired  # noqa: PLC0415  # only workers load both
    from celery.worker import state  # noqa: PLC0415

    is_ending = state.should_terminate is not None or terminate_handler_fired()
    # The greenlet pools stop a revoked task by raising GreenletExit in it.
    is_revoked = current_task and current_task.request.id in state.revoked
    return bool(is_ending or (is_revoked and type(error).__name__ == "GreenletExit"))


def _keeps_its_form(error: BaseException) -> bool:
    """Return whether Celery stores the exception with its own class and text."""
    # A process pool would raise a MemoryError once more in the worker itself and end it.
    if not isinstance(error, Exception) or isinstance(error, MemoryError):
        return False
    try:
        stored = get_pickleable_exception(error)
    except BaseException:  # noqa: BLE001  # raised by the task's own code
        return False
    return type(stored) is type(error) and error_text(stored) == error_text(error)

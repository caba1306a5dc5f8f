"""What a task's body raised: its own name and text, in a form that every pool hands on.

Celery stores an exception that cannot be pickled as another one, and its pools in threads and
greenlets report nothing at all when a body raises what is no `Exception`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from celery import current_task
from celery.exceptions import TaskPredicate
from celery.utils.serialization import get_pickleable_exception

from celeryql.worker.retryable import Retryable

_TEXT_MAX = 10_000  # characters; every event of the task carries it


T = TypeVar("T")


class Raised(Exception):
    """Stands for an exception that Celery cannot hand on as it is.

    Args:
        name: of its class.
        text: its own.
        is_retryable: whether the task asked to be run again with it.
    """

    def __init__(self, name: str, text: str, is_retryable: bool = False) -> None:  # noqa: FBT001, FBT002  # pickled by position
        super().__init__(name, text, is_retryable)
        self.name, self.text, self.is_retryable = name, text, is_retryable

    def __str__(self) -> str:
        """Give the text of what was raised."""
        return self.text

    def __repr__(self) -> str:
        """Show it in logs as what was raised."""
        return f"{self.name}({self.text!r})"


def handed_on(error: BaseException) -> BaseException:
    """Give what a pool can report instead of an exception: mostly the exception itself."""
    if _is_celerys_own(error) or _is_stored_as_it_is(error):
        return error
    return Raised(name_of(error), text_of(error), is_retryable(error))


def run_task_code(do: Callable[[], T]) -> T:
    """Run code of a task's author, whose failures are then all an `Exception`.

    A validator that calls `sys.exit()` would end the process that checks arguments with it.

    Raises:
        Raised: in place of what is no `Exception`, unless Celery acts on that.
    """
    try:
        return do()
    except Exception:
        raise
    except BaseException as error:
        stored = handed_on(error)
        if stored is error:
            raise
        raise stored from error


def name_of(error: object) -> str:
    """Name the class of what was raised."""
    if isinstance(error, Raised):
        return error.name
    return type(error).__name__ if isinstance(error, BaseException) else "Exception"


def text_of(error: object) -> str:
    """Give the text of what was raised; that of a KeyError is its key, not the key's repr."""
    try:
        shown = error
        if isinstance(error, KeyError) and type(error).__str__ is KeyError.__str__ and error.args:
            shown = error.args[0]
        text = str(shown)
    except BaseException as problem:  # noqa: BLE001  # the task's own code
        kind = type(error).__name__
        text = f"{kind} has no text: its __str__ raised {type(problem).__name__}"
    # A file name may hold lone surrogates.
    return text.encode("utf-8", "replace").decode()[:_TEXT_MAX]


def is_retryable(error: object) -> bool:
    """Tell whether the task asked to be run again with this."""
    return isinstance(error, Retryable) or (isinstance(error, Raised) and error.is_retryable)


def _is_celerys_own(error: BaseException) -> bool:
    """Tell whether Celery acts on it: a predicate, or what ends a run together with its process."""
    if isinstance(error, Exception):
        return isinstance(error, TaskPredicate)
    from billiard.common import terminate_handler_fired  # noqa: PLC0415  # only workers load both
    from celery.worker import state  # noqa: PLC0415

    is_ending = state.should_terminate is not None or terminate_handler_fired()
    # The pools of greenlets stop a run with a GreenletExit when its task is revoked.
    is_revoked = current_task and current_task.request.id in state.revoked
    return bool(is_ending or (is_revoked and type(error).__name__ == "GreenletExit"))


def _is_stored_as_it_is(error: BaseException) -> bool:
    # A pool of processes raises a MemoryError once more in the worker itself, and ends it.
    if not isinstance(error, Exception) or isinstance(error, MemoryError):
        return False
    try:
        stored = get_pickleable_exception(error)
    except BaseException:  # noqa: BLE001  # the task's own code
        return False
    return type(stored) is type(error) and text_of(stored) == text_of(error)

"""How a task runs: its arguments checked, its start recorded, its result dumped.

`TypedTask` is the class of every task of the app. It checks arguments in the worker too, so that a
plain `.delay()` caller gets the same care as GraphQL, and hands validated values to the function.
What a signature says is in `definition.py`.
"""

from __future__ import annotations

import random
from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Ignore, Retry

from celeryql.broker.captured_messages import end_capture, is_capturing, start_capture
from celeryql.definition.options import MAX_ATTEMPTS
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import BadTaskDefinition
from celeryql.task_errors import ReportableError, Retryable, error_name, error_text, make_reportable
from celeryql.worker.progress import publish_pending_progress

FIRST_RETRY_S = 1.0  # pause before the second attempt at the longest; doubles with each
LONGEST_RETRY_S = 600.0

_CELERYS_OWN = "celery."  # built-in tasks (chord, map, backend_cleanup) have no typed signature


class TypedTask(Task):
    """The task class of the app: validates arguments, tracks the start, dumps the result."""

    abstract = True
    Request = "celeryql.worker.request:Request"  # by name: only workers load it
    typing = False  # Celery's own check runs before a piped value has found its parameter
    definition: TaskDefinition | None = None

    def __init__(self) -> None:
        """Derive the definition once, when Celery makes the task's only instance.

        Raises:
            BadTaskDefinition: the signature is incomplete, or it could be lost.
        """
        if self.name is None:
            raise BadTaskDefinition(type(self).__qualname__, "a class-based task needs a `name`")
        if not self.name.startswith(_CELERYS_OWN):
            if self.acks_late is False:
                reason = "with `acks_late=False` it would be lost with its worker: leave that out"
                raise BadTaskDefinition(self.name, reason)
            if self.serializer not in (None, "json"):
                reason = f"workers take JSON alone, no {self.serializer}: leave `serializer` out"
                raise BadTaskDefinition(self.name, reason)
            self.definition = TaskDefinition.from_task(self)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Send a message as Celery does, whose headers show no sensitive argument."""
        if self.definition is not None and self.definition.sensitive:
            options |= {"argsrepr": "(...)", "kwargsrepr": "{...}"}
        return super().apply_async(*args, **options)

    def before_start(self, task_id: str, *_: Any) -> None:
        """Record the start; a message of a task that has ended, or runs, is dropped.

        Raises:
            Ignore: this message is a duplicate, or its task was canceled.
        """
        if self.request.is_eager:  # in a test, perhaps without Redis
            return
        end_capture()  # of a task before, whose body swallowed its own retry
        attempt = self.backend.mark_as_started(task_id, request=self.request)
        if attempt is None:
            self.backend.return_chord_part_again(self.request)
            raise Ignore(f"{task_id} has ended, or another run of it lives")
        self.request.attempt = attempt

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function: as it is when called directly, typed when a worker runs it.

        What it raises in a worker becomes what every pool can report and Celery can store.
        """
        if self.request.called_directly or self.request.get("is_running"):
            return self.run(*args, **kwargs)
        self.request.is_running = True  # a call of itself from inside is a direct one
        try:
            return self._run_typed(args, kwargs)
        except BaseException as error:
            stored = error if self.request.is_eager else make_reportable(error)
            if stored is error:
                raise
            raise stored from error
        finally:
            publish_pending_progress(self)

    def _run_typed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.definition is None:
            return self.run(*args, **kwargs)
        arguments = self.definition.bind(args, kwargs)
        values = {name: getattr(arguments, name) for name in type(arguments).model_fields}
        try:
            returned = self.run(**values)
        except (Ignore, Retry) as left:
            if self.request.is_eager or self.request.get("goes_on"):
                raise
            # Raised by hand: nothing was sent, so Celery would leave the task open for ever.
            raise ReportableError(error_name(left), error_text(left)) from left
        except Retryable as error:
            self._try_again(error)
        result = self.definition.dump_result(returned)
        self.request.result_classes = result.union_classes
        if not self.request.is_eager and not is_capturing():
            start_capture()
        return result.value

    def _try_again(self, error: Retryable) -> NoReturn:
        """Send this task once more, after a pause, unless it has been run often enough.

        Raises:
            Retry: to tell Celery so.
            Retryable: it has been run often enough, or was called directly.
        """
        if error.after_s is not None:
            raise self.retry(exc=error, countdown=error.after_s)
        longest_s = min(FIRST_RETRY_S * 2**self.request.retries, LONGEST_RETRY_S)
        # All of it at random: those that failed together do not come back together.
        pause_s = random.uniform(0, longest_s)  # noqa: S311  # no secret
        raise self.retry(exc=error, countdown=pause_s)

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Any = None,
        throw: bool = True,  # noqa: FBT001, FBT002  # Celery's signature
        **options: Any,
    ) -> Any:
        """Send this task once more, as Celery does; the message leaves together with the state."""
        self.request.goes_on = True
        if attempt := self.request.get("attempt"):
            exc = exc and make_reportable(exc)
            replaced = self.request.get("replaced_task_nesting") or 0  # which is no attempt
            left = (attempt.max_attempts or MAX_ATTEMPTS) - attempt.number + replaced
            options.setdefault("max_retries", self.request.retries + left)
            if throw and not is_capturing():
                start_capture()
        return super().retry(args, kwargs, exc, throw, **options)

    def replace(self, sig: Any, *args: Any, **kwargs: Any) -> Any:
        """Replace this run by another of the same id, as Celery does."""
        publish_pending_progress(self)  # later it would be a report of an outdated attempt
        self.request.goes_on = True
        return super().replace(sig, *args, **kwargs)

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Write a custom state, as Celery does, after any progress that was reported before."""
        publish_pending_progress(self)
        super().update_state(*args, **kwargs)

    def on_retry(self, exc: BaseException, task_id: str, *args: Any) -> None:
        """Record that another attempt is due, of a task that ignores its result too."""
        if self.request.ignore_result:
            self.backend.mark_as_retry(task_id, exc, request=self.request)
        super().on_retry(exc, task_id, *args)

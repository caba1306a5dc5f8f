"""The class of all tasks: checks arguments, records starts, and serializes results.

`TypedTask` also checks the arguments of plain `.delay()` callers, in the worker, and calls the
function with validated values. `celeryql/definition/` reads the function's signature.
"""

from __future__ import annotations

from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Ignore, Retry

from celeryql.broker.captured_messages import end_capture, is_capturing, start_capture
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import BadTaskDefinition
from celeryql.task_errors import ReportableError, Retryable, error_name, error_text, make_reportable
from celeryql.worker.progress import publish_pending_progress
from celeryql.worker.retries import back_off_s, max_retries

_BUILT_IN = "celery."  # tasks of Celery (chord, map, backend_cleanup), without a typed signature


class TypedTask(Task):
    """A task with typed arguments, a record, and retries with back-off."""

    abstract = True
    Request = "celeryql.worker.request:Request"  # by name: only workers load it
    typing = False  # Celery's own check runs before a passed result has found its parameter
    definition: TaskDefinition | None = None

    def __init__(self) -> None:
        """Derive the definition once, when Celery makes the task's only instance.

        Raises:
            BadTaskDefinition: the signature is incomplete, or an option is not supported.
        """
        if self.name is None:
            raise BadTaskDefinition(type(self).__qualname__, "a class-based task needs a `name`")
        if not self.name.startswith(_BUILT_IN):
            if self.acks_late is False:
                reason = "with `acks_late=False` it is lost if its worker dies: remove that option"
                raise BadTaskDefinition(self.name, reason)
            if self.serializer not in (None, "json"):
                reason = f"workers accept JSON only, not {self.serializer}: remove `serializer`"
                raise BadTaskDefinition(self.name, reason)
            self.definition = TaskDefinition.from_task(self)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Send a message as Celery does, without sensitive arguments in its headers."""
        if self.definition is not None and self.definition.sensitive:
            options |= {"argsrepr": "(...)", "kwargsrepr": "{...}"}
        return super().apply_async(*args, **options)

    def before_start(self, task_id: str, *_: Any) -> None:
        """Record the start of a run.

        Raises:
            Ignore: the task has ended or has another live run, so the message is dropped.
        """
        if self.request.is_eager:  # in a test, which may have no Redis
            return
        end_capture()  # left open by a task whose body caught its own Retry
        attempt = self.backend.mark_as_started(task_id, request=self.request)
        if attempt is None:
            self.backend.return_chord_part_again(self.request)
            raise Ignore(f"{task_id} has ended, or has another live run")
        self.request.attempt = attempt

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function: unchanged if called directly, with typed arguments in a worker.

        In a worker, an exception is replaced if Celery or its pool could not report it.
        """
        if self.request.called_directly or self.request.get("is_running"):
            return self.run(*args, **kwargs)
        self.request.is_running = True  # from here on, a call of itself is a direct call
        try:
            return self._run_typed(args, kwargs)
        except BaseException as error:
            reportable = error if self.request.is_eager else make_reportable(error)
            if reportable is error:
                raise
            raise reportable from error
        finally:
            publish_pending_progress(self)

    def _run_typed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.definition is None:
            return self.run(*args, **kwargs)
        arguments = self.definition.bind(args, kwargs)
        values = {name: getattr(arguments, name) for name in type(arguments).model_fields}
        try:
            returned = self.run(**values)
        except (Ignore, Retry) as raised:
            if self.request.is_eager or self.request.get("is_continued"):
                raise
            # Raised by the body itself: no message was sent, so the task would never end.
            raise ReportableError(error_name(raised), error_text(raised)) from raised
        except Retryable as error:
            self._retry_later(error)
        result = self.definition.dump_result(returned)
        self.request.result_classes = result.union_classes
        if not self.request.is_eager and not is_capturing():
            start_capture()
        return result.value

    def _retry_later(self, error: Retryable) -> NoReturn:
        """Retry the task after a pause, unless it has no attempts left.

        Raises:
            Retry: another attempt was scheduled.
            Retryable: there is no attempt left.
        """
        pause_s = back_off_s(self.request.retries) if error.after_s is None else error.after_s
        raise self.retry(exc=error, countdown=pause_s)

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Any = None,
        throw: bool = True,  # noqa: FBT001, FBT002  # Celery's signature
        **options: Any,
    ) -> Any:
        """Retry the task as Celery does; its message is sent together with the state RETRY."""
        self.request.is_continued = True
        if self.request.get("attempt"):
            exc = exc and make_reportable(exc)
            options.setdefault("max_retries", max_retries(self.request))
            if throw and not is_capturing():
                start_capture()
        return super().retry(args, kwargs, exc, throw, **options)

    def replace(self, sig: Any, *args: Any, **kwargs: Any) -> Any:
        """Replace the run by another task with the same id, as Celery does."""
        publish_pending_progress(self)  # later, it would belong to an outdated attempt
        self.request.is_continued = True
        return super().replace(sig, *args, **kwargs)

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Write a custom state, as Celery does, after any progress that was reported before."""
        publish_pending_progress(self)
        super().update_state(*args, **kwargs)

    def on_retry(self, exc: BaseException, task_id: str, *args: Any) -> None:
        """Record that another attempt is due, even if the task ignores its result."""
        if self.request.ignore_result:
            self.backend.mark_as_retry(task_id, exc, request=self.request)
        super().on_retry(exc, task_id, *args)

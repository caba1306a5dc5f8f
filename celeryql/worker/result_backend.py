"""The result backend: Celery's Redis backend that also keeps the record and tells of the change.

Celery writes every state of a task through its result backend. Here that write is one Lua script:
Celery's own meta, stored and published as the stock backend does, the record, its event, the state
of its workflow, and the messages that the task's end sets off.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from celery import states
from celery.app.task import Context

from celeryql.broker.captured_messages import end_capture, is_capturing
from celeryql.worker.raised import Raised
from celeryql.worker.state_mapping import changes_of
from celeryql.worker.transitions import ENDED, RUNS, TransitionBackend

_ENDS = (states.SUCCESS, states.FAILURE)
_ENDS_OF_A_RUN = states.READY_STATES | {states.RETRY}  # the states that send messages


@dataclass(frozen=True)
class Start:
    """The attempt that begins, counted from 1, and how many there may be."""

    attempt: int
    max_attempts: int | None


class Backend(TransitionBackend):
    """Celery's result backend, with a record, and with nothing that is ever left open."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Listen for the result of what this process sends; not of what it only builds."""
        if not is_capturing():
            super().on_task_call(producer, task_id)

    def mark_as_started(self, task_id: str, *, request: Context) -> Start | None:
        """Record a start; None where it must not be: the task has ended, or another run lives."""
        meta = self._get_result_meta(
            result={"pid": os.getpid(), "hostname": request.hostname},
            state=states.STARTED,
            traceback=None,
            request=request,
        )
        # Named before the retries: a second try is the same start.
        change = {
            "start": str(uuid4()),
            # How often this task replaced itself by another run, which is no failed attempt.
            "replaced": getattr(request, "replaced_task_nesting", None) or 0,
            "retries": request.retries or 0,
            "set": changes_of(states.STARTED, None, request),
        } | self.input_of(request)
        code, *rest = self.outlast(self._write, task_id, meta, request, change)
        if code == RUNS:
            self.outlast(self.leases.hold_back, request, int(rest[0]))
        if code in (ENDED, RUNS):
            return None
        attempt, max_attempts = rest
        return Start(int(attempt), int(max_attempts) if max_attempts else None)

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Context | None = None,
        store_result: bool = True,  # noqa: FBT001, FBT002  # Celery's signature
        state: str = states.SUCCESS,
    ) -> None:
        """Record a success; of a task that ignores its result too, only without the result."""
        is_ignored = request is not None and (request.ignore_result or not store_result)
        if request is not None and is_ignored and not request.is_eager:
            self.store_result(task_id, None, state, request=request)
            store_result = False
        super().mark_as_done(task_id, result, request, store_result, state)

    def mark_as_failure(self, task_id: str, exc: BaseException, *args: Any, **kwargs: Any) -> None:
        """Record a failure; of a task that ignores its result too, for a state must be true."""
        # getattr: of a task that it does not know, a worker hands over a request of another kind.
        if not getattr(kwargs.get("request"), "is_eager", False):
            kwargs["store_result"] = True
        super().mark_as_failure(task_id, exc, *args, **kwargs)

    def mark_as_revoked(self, task_id: str, *args: Any, **kwargs: Any) -> None:
        """Record a revocation; of a task that ignores its result too."""
        kwargs["store_result"] = True
        super().mark_as_revoked(task_id, *args, **kwargs)

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """Store under its own name what a task raised and Celery cannot hand on as it is.

        No module is named, so `AsyncResult.get` raises an `Exception` of that name: a SystemExit
        would end the process that asks.
        """
        if isinstance(exc, Raised):
            return {"exc_type": exc.name, "exc_message": [exc.text], "exc_module": None}
        return super().prepare_exception(exc, serializer)

    def return_part_again(self, request: Context) -> None:
        """Give a chord of a plain caller what this task had for it when it ended.

        A worker that dies between a task's state and its chord's part would leave the chord
        waiting for ever. The part is taken once, however often it is given (Celery 5.7).
        """
        if request.chord and (meta := self.get_task_meta(request.id))["status"] in _ENDS:
            self.on_chord_part_return(request, meta["status"], meta["result"])

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Write one state, together with the messages that the task's end has set off."""
        # Both are taken once, outside the retries, and before an exception is turned into JSON.
        request = kwargs.get("request")
        change: dict[str, Any] = {
            "told": str(uuid4()),  # a second try tells the same
            "set": changes_of(state, result, request),
            "retries": getattr(request, "retries", None) or 0,
        }
        if start := getattr(request, "start", None):
            change["attempt"] = start.attempt
        if state == states.REVOKED and str(result) != "terminated":
            change["is_unbegun"] = True
        messages = end_capture() if state in _ENDS_OF_A_RUN else []
        return super().store_result(
            task_id, result, state, *args, change=change, messages=messages, **kwargs
        )

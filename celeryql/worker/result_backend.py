"""The result backend: writes each state of a task together with all that the state changes.

Celery writes every state of a task through its result backend. Here that write is one Lua function,
`lua/functions/write_state.lua`. It stores and publishes Celery's own result as the stock backend
does, updates the record and the state of its workflow, appends the event, and pushes the messages
that follow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any
from uuid import uuid4

from celery import states
from celery.app.task import Context
from celery.backends.redis import RedisBackend

from celeryql.broker.captured_messages import CapturedMessage, end_capture, is_capturing
from celeryql.definition.task_definition import TaskDefinition
from celeryql.definition.unions import RESULT_CLASSES
from celeryql.lua_functions import call, encode_request
from celeryql.outages import is_outage
from celeryql.records import TaskId
from celeryql.settings import load_settings
from celeryql.state.graph import Join, leaves
from celeryql.task_errors import ReportableError
from celeryql.worker.leases import Leases
from celeryql.worker.next_steps import build_next_steps
from celeryql.worker.state_mapping import record_changes

_CHORD_PART_STATES = (states.SUCCESS, states.FAILURE)
_ENDS_OF_A_RUN = states.READY_STATES | {states.RETRY}  # the states that send messages


class _Outcome(IntEnum):
    """The first value that `lua/functions/write_state.lua` returns."""

    REFUSED = 0  # the task has ended, or another run of it has begun
    WRITTEN = 1
    NEXT_STEPS_READY = 2  # nothing was written: the messages of the next steps are missing
    ANOTHER_RUN_IS_LIVE = 3


@dataclass(frozen=True)
class Attempt:
    """The attempt that begins, counted from 1, and how many the task may have."""

    number: int
    max_attempts: int | None


class Backend(RedisBackend):
    """Celery's Redis backend, extended by records, events and workflows."""

    @cached_property
    def leases(self) -> Leases:
        """The leases of running tasks."""
        return Leases(self.client)

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Retry after every outage, including a Redis that refuses writes."""
        return is_outage(exc) or bool(super().exception_safe_to_retry(exc))

    def retry_outages(self, do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function that uses Redis, and call it again after each outage."""
        return self._ensure_retryable(do, *args, **kwargs)

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to the result of a message that is sent, not of one that is captured."""
        if not is_capturing():
            super().on_task_call(producer, task_id)

    def mark_as_started(self, task_id: str, *, request: Context) -> Attempt | None:
        """Record the start of a run.

        Returns:
            None if the run must not begin: the task has ended, or another run of it is live.
        """
        meta = self._get_result_meta(
            result={"pid": os.getpid(), "hostname": request.hostname},
            state=states.STARTED,
            traceback=None,
            request=request,
        )
        change = {
            "start_id": str(uuid4()),  # the same for all retries of this write
            # How often the task has replaced itself, which is not a failed attempt.
            "replaced": getattr(request, "replaced_task_nesting", None) or 0,
            "retries": request.retries or 0,
            "set": record_changes(states.STARTED, None, request),
        } | self._input(request)
        outcome, *rest = self.retry_outages(self._write, task_id, meta, request, change)
        if outcome == _Outcome.ANOTHER_RUN_IS_LIVE:
            self.retry_outages(self.leases.postpone, request, int(rest[0]))
        if outcome != _Outcome.WRITTEN:
            return None
        number, max_attempts = rest
        return Attempt(int(number), int(max_attempts) if max_attempts else None)

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Context | None = None,
        store_result: bool = True,  # noqa: FBT001, FBT002  # Celery's signature
        state: str = states.SUCCESS,
    ) -> None:
        """Record a success; if the task ignores its result, without the result."""
        is_ignored = request is not None and (request.ignore_result or not store_result)
        if request is not None and is_ignored and not request.is_eager:
            self.store_result(task_id, None, state, request=request)
            store_result = False
        super().mark_as_done(task_id, result, request, store_result, state)

    def mark_as_failure(self, task_id: str, exc: BaseException, *args: Any, **kwargs: Any) -> None:
        """Record a failure, even if the task ignores its result."""
        # A worker that does not know the task passes another kind of request, without `is_eager`.
        if not getattr(kwargs.get("request"), "is_eager", False):
            kwargs["store_result"] = True
        super().mark_as_failure(task_id, exc, *args, **kwargs)

    def mark_as_revoked(self, task_id: str, *args: Any, **kwargs: Any) -> None:
        """Record a revocation, even if the task ignores its result."""
        kwargs["store_result"] = True
        super().mark_as_revoked(task_id, *args, **kwargs)

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """Store an exception that Celery cannot serialize under its own name.

        The module is left out, so `AsyncResult.get` raises an `Exception` of that name. With its
        module, a stored SystemExit would end the process that calls `get`.
        """
        if isinstance(exc, ReportableError):
            return {"exc_type": exc.name, "exc_message": [exc.text], "exc_module": None}
        return super().prepare_exception(exc, serializer)

    def return_chord_part_again(self, request: Context) -> None:
        """Return the result of a task that has ended to its chord once more.

        A worker that dies between the final state and the chord part would leave a plain Celery
        chord waiting for ever. Celery 5.7 counts each part once, however often it is returned.
        """
        if not request.chord:
            return
        meta = self.get_task_meta(request.id)
        if meta["status"] in _CHORD_PART_STATES:
            self.on_chord_part_return(request, meta["status"], meta["result"])

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Write one state, together with the messages that the end of the run sends."""
        # The change and the messages are made once, before any retry of the write and before
        # Celery turns an exception into JSON.
        request = kwargs.get("request")
        change: dict[str, Any] = {
            "report_id": str(uuid4()),  # the same for all retries of this write
            "set": record_changes(state, result, request),
            "retries": getattr(request, "retries", None) or 0,
        }
        if attempt := getattr(request, "attempt", None):
            change["attempt"] = attempt.number
        if state == states.REVOKED and str(result) != "terminated":
            change["is_unbegun"] = True
        messages = end_capture() if state in _ENDS_OF_A_RUN else []
        return super().store_result(
            task_id, result, state, *args, change=change, messages=messages, **kwargs
        )

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Context | None = None,
        *,
        change: dict[str, Any],
        messages: list[CapturedMessage],
    ) -> Any:
        def build_meta() -> dict[str, Any]:
            meta: dict[str, Any] = self._get_result_meta(
                result=result, state=state, traceback=traceback, request=request
            )
            return meta

        outcome, *rest = self._write(task_id, build_meta(), request, change, messages)
        if outcome == _Outcome.NEXT_STEPS_READY:
            next_steps = self._build_next_steps(TaskId(task_id), result, *rest)
            # Built again, because Celery lists the messages that were just built as children.
            meta = build_meta()
            self._write(
                task_id, meta, request, change | {"is_released": True}, messages + next_steps
            )
        return result

    def _get_result_meta(
        self, result: Any, state: str, traceback: str | None, request: Context | None, **kwargs: Any
    ) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(result, state, traceback, request, **kwargs)
        if state == states.SUCCESS and (names := getattr(request, RESULT_CLASSES, None)):
            meta[RESULT_CLASSES] = names
        return meta

    def _build_next_steps(
        self, task_id: TaskId, result: Any, join_json: bytes, signatures: list[bytes | None]
    ) -> list[CapturedMessage]:
        """Build the messages of the steps that the success of this one makes ready."""
        join = Join.model_validate_json(join_json)
        others = [leaf for leaf in leaves(join.value) if leaf != task_id]
        stored = self.client.mget([self.get_key_for_task(id_) for id_ in others]) if others else []
        results = {
            id_: self.decode(meta)["result"] for id_, meta in zip(others, stored, strict=True)
        }
        return build_next_steps(
            self.app, join, signatures, results | {task_id: result}, parent=task_id
        )

    def _write(
        self,
        task_id: str,
        meta: dict[str, Any],
        request: Context | None,
        change: dict[str, Any],
        messages: Sequence[CapturedMessage] = (),
    ) -> Any:
        whole = (
            change
            | self._adoption(request)
            | {"id": task_id, "pushes": [m.encode() for m in messages]}
        )
        return call(
            self.client,
            "write_state",
            encode_request(load_settings(), change=whole),
            self.encode(meta | {"task_id": task_id}),
            *(message.payload for message in messages),
        )

    def _adoption(self, request: Context | None) -> dict[str, Any]:
        """Describe the task, for a record to be made if a plain Celery caller enqueued it."""
        if request is None:  # not from a worker: of an unknown task it says too little
            return {}
        task = self.app.tasks.get(getattr(request, "task", None) or "")
        if task is None or task.definition is None:
            return {"adopt": {}}
        queue = (request.delivery_info or {}).get("routing_key") or ""
        definition: TaskDefinition = task.definition
        max_attempts = str(definition.max_attempts)
        return {
            "adopt": {"definition": definition.name, "queue": queue, "max_attempts": max_attempts}
        }

    def _input(self, request: Context) -> dict[str, str]:
        """Return the arguments of a run; results that were passed to it are known only now."""
        task = self.app.tasks.get(request.task)
        # Invalid arguments, and whatever a validator raises, fail the run itself in a moment.
        with suppress(Exception):
            if task is not None and task.definition is not None:
                bound = task.definition.bind(tuple(request.args or ()), request.kwargs or {})
                return {"input": json.dumps(task.definition.public_arguments(bound))}
        return {}

"""The result backend: Celery's Redis backend that also keeps the record and tells of the change.

Celery writes every state of a task through its result backend. Here that write is one Lua script:
Celery's own meta, stored and published as the stock backend does, the record, its event, the state
of its workflow, and the messages that the task's end sets off.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from celery import states
from celery.app.task import Context
from celery.backends.redis import RedisBackend
from redis.commands.core import Script

from tasks.engine.errors import InvalidArguments
from tasks.engine.records import Failure, TaskState
from tasks.engine.scripts import source
from tasks.engine.settings import load_settings
from tasks.engine.transport import Message, close_collector, is_collecting

_STATES = {
    states.PENDING: TaskState.QUEUED,
    states.RECEIVED: TaskState.QUEUED,
    states.STARTED: TaskState.RUNNING,
    states.RETRY: TaskState.RETRYING,
    states.SUCCESS: TaskState.SUCCEEDED,
    states.FAILURE: TaskState.FAILED,
    states.REVOKED: TaskState.CANCELED,
}


class Backend(RedisBackend):
    """Celery's Redis backend with one script for each state change."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Listen for the result of what this process sends; not of what it only builds."""
        if not is_collecting():
            super().on_task_call(producer, task_id)

    def mark_as_started(self, task_id: str, *, request: Context) -> bool:
        """Record a start.

        Returns:
            False where the task has already ended, so that it must not run.
        """
        meta = self._get_result_meta(
            result={"pid": request.get("worker_pid"), "hostname": request.hostname},
            state=states.STARTED,
            traceback=None,
            request=request,
        )
        return bool(
            self._ensure_retryable(
                self._transition, task_id, states.STARTED, meta, request, [], is_start=True
            )
        )

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Context | None = None,
        store_result: bool = True,  # noqa: FBT001, FBT002  # Celery's signature
        state: str = states.SUCCESS,
    ) -> None:
        """Record a success; of a task that ignores its result too, only without the result."""
        if request is not None and (request.ignore_result or not store_result):
            self.store_result(task_id, None, state, request=request)
            store_result = False
        super().mark_as_done(task_id, result, request, store_result, state)

    def mark_as_failure(self, task_id: str, exc: BaseException, *args: Any, **kwargs: Any) -> None:
        """Record a failure; of a task that ignores its result too, for a state must be true."""
        super().mark_as_failure(task_id, exc, *args, **kwargs | {"store_result": True})

    def store_result(self, *args: Any, **kwargs: Any) -> Any:
        """Write one state, together with the messages that the task's end has set off."""
        # Taken once, outside the retries: a second try must push the same messages.
        return super().store_result(*args, messages=close_collector(), **kwargs)

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Context | None = None,
        *,
        messages: list[Message],
    ) -> Any:
        meta = self._get_result_meta(
            result=result, state=state, traceback=traceback, request=request
        )
        self._transition(task_id, state, meta, request, messages)
        return result

    def _transition(
        self,
        task_id: str,
        state: str,
        meta: dict[str, Any],
        request: Context | None,
        messages: list[Message],
        *,
        is_start: bool = False,
    ) -> Any:
        settings = load_settings()
        change = {
            "id": task_id,
            "meta_key": self.get_key_for_task(task_id).decode(),
            "set": _changes(state, meta, request),
            "adopt": self._adoption(request, with_input=is_start),
            "is_start": is_start,
            "pushes": [{"queue_list": m.queue_list, "task_id": m.task_id} for m in messages],
            "events_kept": str(settings.events_kept),
            "ttl": str(settings.result_expires),
        }
        meta["task_id"] = task_id
        payloads = [message.payload for message in messages]
        return self._script(args=[json.dumps(change), self.encode(meta), *payloads])

    @cached_property
    def _script(self) -> Script:
        script: Script = self.client.register_script(source("transition"))
        return script

    def _adoption(self, request: Context | None, *, with_input: bool) -> dict[str, Any]:
        """Say what a record made now would hold: of a task that a plain Celery caller enqueued."""
        fields: list[str] = []
        arguments = None
        task = self.app.tasks.get(getattr(request, "task", None) or "")
        if request is None or task is None or task.definition is None:
            return {"fields": fields, "input": None}
        queue = (request.delivery_info or {}).get("routing_key") or ""
        fields = ["definition", task.definition.name, "queue", queue]
        if with_input:
            try:
                bound = task.definition.bind(tuple(request.args or ()), request.kwargs or {})
                arguments = json.dumps(task.definition.public(bound))
            except InvalidArguments:
                pass  # the run itself fails with this in a moment
        return {"fields": fields, "input": arguments}


def _changes(state: str, meta: dict[str, Any], request: Context | None) -> dict[str, str]:
    set_: dict[str, str] = {
        "state": _STATES.get(state, TaskState.RUNNING),
        "celery_state": state,
    }
    if request is not None and getattr(request, "hostname", None):
        set_["worker"] = request.hostname
    result = meta["result"]
    if state in (states.FAILURE, states.RETRY):
        set_["failure"] = _failure(result, retryable=state == states.RETRY).model_dump_json()
    elif state == states.REVOKED and "expired" in str(result):
        set_["state"] = TaskState.EXPIRED
    elif state not in _STATES and isinstance(result, dict) and "current" in result:
        # The shape that Celery's documentation gives to `update_state(state="PROGRESS")`.
        known = {key: result.get(key) for key in ("current", "total", "message")}
        set_["progress"] = json.dumps(known)
    return set_


def _failure(result: dict[str, Any], *, retryable: bool) -> Failure:
    message = result.get("exc_message") or ""
    text = " ".join(str(part) for part in message) if isinstance(message, list | tuple) else message
    return Failure(type=result.get("exc_type", "Exception"), message=text, retryable=retryable)

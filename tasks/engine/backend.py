"""The result backend: Celery's Redis backend that also keeps the record and tells of the change.

Celery writes every state of a task through its result backend. Here that write is one Lua script:
Celery's own meta, stored and published as the stock backend does, the record, its event, the state
of its workflow, and the messages that the task's end sets off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import uuid4

from celery import states
from celery.app.task import Context
from celery.backends.redis import RedisBackend
from redis.commands.core import Script

from tasks.engine.changes import changes_of
from tasks.engine.collector import (
    Message,
    close_collector,
    is_collecting,
)
from tasks.engine.definition import TaskDefinition
from tasks.engine.errors import InvalidArguments, is_outage
from tasks.engine.graph import Join, leaves
from tasks.engine.leases import Leases
from tasks.engine.records import TaskId
from tasks.engine.release import release
from tasks.engine.scripts import request as script_request
from tasks.engine.scripts import source
from tasks.engine.settings import load_settings

_ENDS = (states.SUCCESS, states.FAILURE)
_ENDED, _RELEASES, _RUNS = 0, 2, 3  # what `lua/transition.lua` answers


@dataclass(frozen=True)
class Start:
    """The attempt that begins, counted from 1, and how many there may be."""

    attempt: int
    max_attempts: int | None


class Backend(RedisBackend):
    """Celery's Redis backend with one script for each state change."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Listen for the result of what this process sends; not of what it only builds."""
        if not is_collecting():
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
        } | self._input(request)
        code, *rest = self.outlast(self._write, task_id, meta, request, change)
        if code == _RUNS:
            self.outlast(self.leases.hold_back, request, int(rest[0]))
        if code in (_ENDED, _RUNS):
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

    def return_part_again(self, request: Context) -> None:
        """Give a chord of a plain caller what this task had for it when it ended.

        A worker that dies between a task's state and its chord's part would leave the chord
        waiting for ever. The part is taken once, however often it is given (Celery 5.7).
        """
        if request.chord and (meta := self.get_task_meta(request.id))["status"] in _ENDS:
            self.on_chord_part_return(request, meta["status"], meta["result"])

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Try again after every outage, a Redis that takes no writes included."""
        return is_outage(exc) or bool(super().exception_safe_to_retry(exc))

    def outlast(self, do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do something in Redis, again and again while there is an outage."""
        return self._ensure_retryable(do, *args, **kwargs)

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
        messages = close_collector()
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
        messages: list[Message],
    ) -> Any:
        def meta() -> dict[str, Any]:
            found: dict[str, Any] = self._get_result_meta(
                result=result, state=state, traceback=traceback, request=request
            )
            return found

        code, *rest = self._write(task_id, meta(), request, change, messages)
        if code == _RELEASES:
            released = self._release(TaskId(task_id), result, *rest)
            # Celery's meta names those that were released as this task's children.
            self._write(
                task_id, meta(), request, change | {"is_released": True}, messages + released
            )
        return result

    def _release(
        self, task_id: TaskId, result: Any, join_json: bytes, signatures: list[bytes | None]
    ) -> list[Message]:
        """Make the messages of the steps that are ready now that this one has succeeded."""
        join = Join.model_validate_json(join_json)
        others = [leaf for leaf in leaves(join.value) if leaf != task_id]
        found = self.client.mget([self.get_key_for_task(id_) for id_ in others]) if others else []
        results = {
            id_: self.decode(meta)["result"] for id_, meta in zip(others, found, strict=True)
        }
        return release(self.app, join, signatures, results | {task_id: result}, parent=task_id)

    def _write(
        self,
        task_id: str,
        meta: dict[str, Any],
        request: Context | None,
        change: dict[str, Any],
        messages: Sequence[Message] = (),
    ) -> Any:
        whole = (
            change
            | self._adoption(request)
            | {"id": task_id, "pushes": [m.push() for m in messages]}
        )
        return self._script(
            args=[
                script_request(load_settings(), change=whole),
                self.encode(meta | {"task_id": task_id}),
                *(message.payload for message in messages),
            ]
        )

    @cached_property
    def leases(self) -> Leases:
        """The leases of what workers run."""
        return Leases(self.client)

    @cached_property
    def _script(self) -> Script:
        script: Script = self.client.register_script(source("transition"))
        return script

    def _adoption(self, request: Context | None) -> dict[str, Any]:
        """Say what a record made now would hold: of a task that a plain Celery caller enqueued."""
        if request is None:  # nobody runs it: this tells nothing of a task that is not known
            return {}
        task = self.app.tasks.get(getattr(request, "task", None) or "")
        if task is None or task.definition is None:
            return {"adopt": {}}
        queue = (request.delivery_info or {}).get("routing_key") or ""
        definition: TaskDefinition = task.definition
        most = str(definition.max_attempts)
        return {"adopt": {"definition": definition.name, "queue": queue, "max_attempts": most}}

    def _input(self, request: Context) -> dict[str, str]:
        """Give the arguments of a run, which are known only now if they were piped."""
        task = self.app.tasks.get(request.task)
        # What does not fit makes the run itself fail in a moment.
        with suppress(InvalidArguments):
            if task is not None and task.definition is not None:
                bound = task.definition.bind(tuple(request.args or ()), request.kwargs or {})
                return {"input": json.dumps(task.definition.public(bound))}
        return {}

"""One state into Redis: Celery's meta, record, event and messages in one script."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from celery import states
from celery.app.task import Context
from celery.backends.redis import RedisBackend
from redis.commands.core import Script

from celeryql.broker.captured_messages import CapturedMessage
from celeryql.definition.task_definition import TaskDefinition
from celeryql.definition.unions import CLASSES
from celeryql.outages import is_outage
from celeryql.records import TaskId
from celeryql.scripts import TRANSITION, source
from celeryql.scripts import request as script_request
from celeryql.settings import load_settings
from celeryql.state.graph import Join, leaves
from celeryql.worker.leases import Leases
from celeryql.worker.next_steps import release

ENDED, RELEASES, RUNS = 0, 2, 3  # what `lua/transition.lua` answers


class TransitionBackend(RedisBackend):
    """Celery's Redis backend, which writes a state with all that belongs to it."""

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Try again after every outage, a Redis that takes no writes included."""
        return is_outage(exc) or bool(super().exception_safe_to_retry(exc))

    def outlast(self, do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do something in Redis, again and again while there is an outage."""
        return self._ensure_retryable(do, *args, **kwargs)

    def _get_result_meta(
        self, result: Any, state: str, traceback: str | None, request: Context | None, **kwargs: Any
    ) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(result, state, traceback, request, **kwargs)
        if state == states.SUCCESS and (names := getattr(request, CLASSES, None)):
            meta[CLASSES] = names
        return meta

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
        def meta() -> dict[str, Any]:
            found: dict[str, Any] = self._get_result_meta(
                result=result, state=state, traceback=traceback, request=request
            )
            return found

        code, *rest = self._write(task_id, meta(), request, change, messages)
        if code == RELEASES:
            released = self._release(TaskId(task_id), result, *rest)
            # Celery's meta names those that were released as this task's children.
            self._write(
                task_id, meta(), request, change | {"is_released": True}, messages + released
            )
        return result

    def _release(
        self, task_id: TaskId, result: Any, join_json: bytes, signatures: list[bytes | None]
    ) -> list[CapturedMessage]:
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
        messages: Sequence[CapturedMessage] = (),
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
        script: Script = self.client.register_script(source("transition", TRANSITION))
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

    def input_of(self, request: Context) -> dict[str, str]:
        """Give the arguments of a run, which are known only now if they were piped."""
        task = self.app.tasks.get(request.task)
        # What does not fit, or what a validator raises, makes the run itself fail in a moment.
        with suppress(Exception):
            if task is not None and task.definition is not None:
                bound = task.definition.bind(tuple(request.args or ()), request.kwargs or {})
                return {"input": json.dumps(task.definition.public(bound))}
        return {}

"""Messages of single tasks: Celery makes one of each task, and that is the mould of all others.

What differs from one call of a task to the next is its id, its arguments and who asked. Celery and
kombu take ten times as long for it as it takes to put them into a message that they have made.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any
from uuid import uuid4

from celery import Task, signals
from celery.app.routes import MapRoute

from tasks.engine import trail
from tasks.engine.collector import Message, collecting, unsent
from tasks.engine.definition import TaskDefinition
from tasks.engine.typed import TypedTask

_SHOWN = 1_024  # characters of the arguments in a message's headers, as Celery has it
_OF_ITS_TIME = ("eta", "expires")
_NOTHING_ELSE = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}  # to be done


def message_for(
    definition: TaskDefinition, task_id: str, kwargs: dict[str, Any], priority: int
) -> Message:
    """Make the message that starts one task.

    Args:
        definition: of the task.
        task_id: its id.
        kwargs: its arguments, as JSON values.
        priority: Celery's, of which 0 is taken first.
    """
    if _is_heard_of() or (mould := _mould(definition.task, priority)) is None:
        return _made_by_celery(definition.task, task_id, kwargs, priority)
    shown = {} if definition.sensitive else {"kwargsrepr": _shown(kwargs)}
    return mould.cast(task_id, kwargs, shown)


def _shown(kwargs: dict[str, Any]) -> str:
    # Celery's own way to show them looks into all of them, and is as slow as all the rest.
    return repr(kwargs)[:_SHOWN]


def _made_by_celery(task: Task, task_id: str, kwargs: dict[str, Any], priority: int) -> Message:
    with collecting() as messages:
        task.apply_async(
            kwargs=kwargs,
            task_id=task_id,
            priority=priority,
            argsrepr="()",
            kwargsrepr=_shown(kwargs),
            **unsent(),
        )
    return messages[0]


def _is_heard_of() -> bool:
    """Tell whether more than the trail is told of each message, and may change it: traces are."""
    heard = [receiver for _, receiver in signals.before_task_publish.receivers or ()]
    after = signals.after_task_publish.receivers or signals.task_sent.receivers
    return bool(after) or heard != [trail.send]


class _Mould:
    """One message of a task at one priority, taken apart."""

    def __init__(self, made: Message) -> None:
        self._made = made
        self._parts = json.loads(made.payload)
        self._headers = self._parts["headers"]
        self._properties = self._parts["properties"]
        for name in trail.CARRIED:  # of who asked for the first
            self._headers.pop(name, None)

    def fits_all(self) -> bool:
        """Tell whether all that the task is sent with can be put into it."""
        return (
            self._parts["content-type"] == "application/json"
            and self._properties["body_encoding"] == "base64"
            and "compression" not in self._headers
            and not any(self._headers[name] for name in _OF_ITS_TIME)
        )

    def cast(self, task_id: str, kwargs: dict[str, Any], shown: dict[str, str]) -> Message:
        """Make another message of it."""
        tag, own = str(uuid4()), {"id": task_id, "root_id": task_id}
        headers = self._headers | own | shown
        trail.send(headers)
        own = {"correlation_id": task_id, "delivery_tag": tag}
        properties = self._properties | own | shown
        body = json.dumps(([], kwargs, _NOTHING_ELSE)).encode()
        parts = {"body": base64.b64encode(body).decode(), "headers": headers}
        payload = json.dumps(self._parts | parts | {"properties": properties})
        made = self._made
        return Message(made.queue, made.queue_list, payload, tag, task_id)


@cache
def _mould(task: Task, priority: int) -> _Mould | None:
    """Give the mould of a task, or None where each of its messages may be another."""
    own = type(task)
    is_plain = (
        own.apply_async is TypedTask.apply_async
        and own.shadow_name is Task.shadow_name
        and all(isinstance(route, MapRoute) for route in task.app.amqp.routes)
    )
    if not is_plain:
        return None
    mould = _Mould(_made_by_celery(task, str(uuid4()), {}, priority))
    return mould if mould.fits_all() else None

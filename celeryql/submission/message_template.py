"""Messages of single tasks: Celery makes one of each task, and that is the mould of all others.

What differs from one call of a task to the next is its id, its arguments and who asked. Celery and
kombu take thirty times as long for it as it takes to put them into the text of a message that they
have made.
"""

from __future__ import annotations

import base64
import json
from functools import cache, cached_property
from secrets import token_hex
from typing import Any
from uuid import uuid4

from celery import Task, signals
from celery.app.routes import MapRoute
from pydantic_core import to_json

from celeryql.broker.captured_messages import CapturedMessage, build_only_options, capturing
from celeryql.definition.task_definition import TaskDefinition
from celeryql.observability import request_trail
from celeryql.worker.task_class import TypedTask

_SHOWN = 1_024  # characters of the arguments in a message's headers, as Celery has it
_OF_ITS_TIME = ("eta", "expires")
_NOTHING_ELSE = b'{"callbacks":null,"errbacks":null,"chain":null,"chord":null}'  # to be done
_SLOTS = ("id", "tag", "body", "shown", "trail")


def message_for(
    definition: TaskDefinition, task_id: str, kwargs: dict[str, Any], priority: int
) -> CapturedMessage:
    """Make the message that starts one task.

    Args:
        definition: of the task.
        task_id: its id.
        kwargs: its arguments, as JSON values.
        priority: Celery's, of which 0 is taken first.
    """
    mould = None
    if not _is_heard_of():
        mould = _mould(definition.task, priority, is_shown=not definition.sensitive)
    if mould is None:
        return _made_by_celery(definition.task, task_id, kwargs, priority)
    return mould.cast(task_id, kwargs)


def _shown(kwargs: dict[str, Any]) -> str:
    # Celery's own way to show them looks into all of them, and is as slow as all the rest.
    return repr(kwargs)[:_SHOWN]


def _made_by_celery(
    task: Task, task_id: str, kwargs: dict[str, Any], priority: int
) -> CapturedMessage:
    with capturing() as messages:
        task.apply_async(
            kwargs=kwargs,
            task_id=task_id,
            priority=priority,
            argsrepr="()",
            kwargsrepr=_shown(kwargs),
            **build_only_options(),
        )
    return messages[0]


def _is_heard_of() -> bool:
    """Tell whether more than the trail is told of each message, and may change it: traces are."""
    heard = [receiver for _, receiver in signals.before_task_publish.receivers or ()]
    after = signals.after_task_publish.receivers or signals.task_sent.receivers
    return bool(after) or heard != [request_trail.send]


class _Mould:
    """One message of a task at one priority, its text with slots for what differs."""

    def __init__(self, made: CapturedMessage, *, is_shown: bool) -> None:
        self._made = made
        self._is_shown = is_shown  # whether its arguments are quoted in its headers
        self._parts = json.loads(made.payload)
        self._headers = self._parts["headers"]
        self._properties = self._parts["properties"]
        for name in request_trail.CARRIED:  # of who asked for the first
            self._headers.pop(name, None)

    def fits_all(self) -> bool:
        """Tell whether all that the task is sent with can be put into it."""
        return (
            self._parts["content-type"] == "application/json"
            and self._properties["body_encoding"] == "base64"
            and "compression" not in self._headers
            and not any(self._headers[name] for name in _OF_ITS_TIME)
        )

    @cached_property
    def _text(self) -> str:
        shown = {"kwargsrepr": _slot("shown")} if self._is_shown else {}
        ids = {"id": _slot("id"), "root_id": _slot("id")}
        headers = self._headers | ids | shown | {_slot("trail"): None}
        own = {"correlation_id": _slot("id"), "delivery_tag": _slot("tag")}
        parts = {"body": _slot("body"), "headers": headers}
        parts["properties"] = self._properties | own | shown
        text = json.dumps(self._parts | parts, separators=(",", ":")).replace("%", "%%")
        text = text.replace(f",{json.dumps(_slot('trail'))}:null", "%(trail)s")
        for name in _SLOTS:
            text = text.replace(json.dumps(_slot(name))[1:-1], f"%({name})s")
        return text

    def cast(self, task_id: str, kwargs: dict[str, Any]) -> CapturedMessage:
        """Make another message of it."""
        tag = token_hex(16)
        carried: dict[str, Any] = {}
        request_trail.send(carried)
        body = b"[[],%b,%b]" % (to_json(kwargs), _NOTHING_ELSE)
        payload = self._text % {
            "id": task_id,
            "tag": tag,
            "body": base64.b64encode(body).decode(),
            "shown": to_json(_shown(kwargs))[1:-1].decode() if self._is_shown else "",
            "trail": f",{json.dumps(carried)[1:-1]}" if carried else "",
        }
        made = self._made
        return CapturedMessage(made.queue, made.queue_list, payload, tag, task_id)


def _slot(name: str) -> str:
    return f"\0{name}"  # no text of a message begins so


@cache
def _mould(task: Task, priority: int, *, is_shown: bool) -> _Mould | None:
    """Give the mould of a task, or None where each of its messages may be another."""
    own = type(task)
    is_plain = (
        own.apply_async is TypedTask.apply_async
        and own.shadow_name is Task.shadow_name
        and all(isinstance(route, MapRoute) for route in task.app.amqp.routes)
    )
    if not is_plain:
        return None
    mould = _Mould(_made_by_celery(task, str(uuid4()), {}, priority), is_shown=is_shown)
    return mould if mould.fits_all() else None

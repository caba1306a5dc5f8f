"""kombu transports: the one workers use, and a collector that keeps messages instead of sending.

While a collector is open in the current context, published messages are kept in it, so that they
can go out later in the same Redis script as the record of what caused them: either all or nothing.
No message waits in a worker until it is due: what has an `eta` is held in Redis (`sweep.py`).
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kombu.connection import Connection
from kombu.transport import redis, virtual
from kombu.utils.json import dumps

from tasks.engine.records import KEY, Priority

PRIORITY_STEPS: list[int] = redis.Channel.priority_steps
# On Redis 0 is taken first. A plain caller's task has the normal one, too: `task_default_priority`.
CELERY_PRIORITIES = {Priority.HIGH: 0, Priority.NORMAL: 3, Priority.LOW: 6}


@dataclass(frozen=True, slots=True)
class Message:
    """One message as kombu would push it.

    Attributes:
        queue_list: the Redis list of its queue and priority.
        task_id: the task that it starts.
        due_ms: when it may be pushed, in milliseconds since 1970; None for at once.
    """

    queue: str
    queue_list: str
    payload: str
    task_id: str
    due_ms: int | None = None


@dataclass(slots=True)
class Collector:
    """Messages published while it is open."""

    messages: list[Message] = field(default_factory=list)


_open: ContextVar[Collector | None] = ContextVar("collector", default=None)


def open_collector() -> Collector:
    """Keep what this context publishes from now on, until `close_collector`.

    Raises:
        RuntimeError: one is open that holds messages, which would be lost.
    """
    if (before := _open.get()) and before.messages:
        raise RuntimeError("a collector is open and holds messages")
    collector = Collector()
    _open.set(collector)
    return collector


def close_collector() -> list[Message]:
    """Stop keeping; what was kept is the caller's to push."""
    collector = _open.get()
    _open.set(None)
    return collector.messages if collector else []


def is_collecting() -> bool:
    """Tell whether published messages are kept rather than sent."""
    return _open.get() is not None


def queue_list(queue: str, priority: int) -> str:
    """Name the Redis list that holds a queue's messages of one priority.

    kombu gives the queue's own name to its highest priority. Here the normal one has it, so that
    what counts or fills a queue by its name, as an autoscaler does, sees what it expects.
    """
    step = max(s for s in PRIORITY_STEPS if s <= priority)
    is_normal = step == CELERY_PRIORITIES[Priority.NORMAL]
    return queue if is_normal else f"{queue}{redis.Channel.sep}{step}"


def _message(queue: str, priority: int, message: dict[str, Any]) -> Message:
    headers, due_ms = message["headers"], None
    if eta := headers.get("eta"):
        at = datetime.fromisoformat(eta)
        due_ms = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
        message = message | {"headers": headers | {"eta": None}}  # a worker is not to wait again
    return Message(queue, queue_list(queue, priority), dumps(message), headers["id"], due_ms)


class Channel(redis.Channel):
    """kombu's Redis channel, which hands messages to an open collector, and holds what has time."""

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if "id" not in message["headers"]:
            super()._put(queue, message, **kwargs)  # type: ignore[no-untyped-call]  # kombu's
            return
        made = _message(queue, self._get_message_priority(message, reverse=False), message)
        if collector := _open.get():
            collector.messages.append(made)
        elif made.due_ms is None:
            super()._put(queue, message, **kwargs)  # type: ignore[no-untyped-call]  # kombu's
        else:
            self._hold(made)

    def _hold(self, message: Message) -> None:
        held = json.dumps({"queue_list": message.queue_list, "payload": message.payload})
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            pipe.hset(f"{KEY}scheduled_messages", message.task_id, held)
            pipe.zadd(f"{KEY}scheduled", {message.task_id: message.due_ms})
            pipe.execute()

    def _q_for_pri(self, queue: str, pri: int) -> str:
        return queue_list(queue, pri)


class Transport(redis.Transport):
    """kombu's Redis transport; named in `broker_transport`, so the URL stays `redis://`."""

    Channel = Channel


class CollectingChannel(virtual.Channel):
    """A channel that only builds messages: it never connects."""

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        collector = _open.get()
        if collector is None:
            raise RuntimeError("this process publishes only through tasks.engine.submit")
        priority = self._get_message_priority(message, reverse=False)
        collector.messages.append(_message(queue, priority, message))


class CollectingTransport(virtual.Transport):
    """Builds messages, which are sent with the records that they belong to."""

    Channel = CollectingChannel
    driver_type = "redis"
    driver_name = "collector"


#: What is published with `connection=COLLECTING` needs an open collector, and no server.
COLLECTING = Connection("memory://", transport=CollectingTransport)

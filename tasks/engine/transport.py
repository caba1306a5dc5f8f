"""kombu transports: the one workers use, and a collector that keeps messages instead of sending.

While a collector is open in the current context, published messages are kept in it, so that they
can go out later in the same Redis script as the record of what caused them: either all or nothing.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.json import dumps


@dataclass(frozen=True, slots=True)
class Message:
    """One message as kombu would push it: the Redis list, the payload, and the task it starts."""

    queue: str
    queue_list: str
    payload: str
    task_id: str


@dataclass(slots=True)
class Collector:
    """Messages published while it is open."""

    messages: list[Message] = field(default_factory=list)


PRIORITY_STEPS: list[int] = redis.Channel.priority_steps

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


def _collected(queue: str, priority: int, message: dict[str, Any]) -> Message:
    return Message(queue, queue_list(queue, priority), dumps(message), message["headers"]["id"])


def queue_list(queue: str, priority: int) -> str:
    """Name the Redis list that holds a queue's messages of one priority.

    Source: kombu.transport.redis.Channel._q_for_pri; priority 0 is the highest on Redis.
    """
    step = max(s for s in PRIORITY_STEPS if s <= priority)
    return f"{queue}{redis.Channel.sep}{step}" if step else queue


class Channel(redis.Channel):
    """kombu's Redis channel, which hands messages to an open collector."""

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        collector = _open.get()
        if collector is None or "id" not in message["headers"]:
            super()._put(queue, message, **kwargs)  # type: ignore[no-untyped-call]  # kombu's
            return
        priority = self._get_message_priority(message, reverse=False)
        collector.messages.append(_collected(queue, priority, message))


class Transport(redis.Transport):
    """kombu's Redis transport; named in `broker_transport`, so the URL stays `redis://`."""

    Channel = Channel


class CollectingChannel(virtual.Channel):
    """A channel of a process that only builds messages: it never connects."""

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        collector = _open.get()
        if collector is None:
            raise RuntimeError("this process publishes only through tasks.engine.submit")
        priority = self._get_message_priority(message, reverse=False)
        collector.messages.append(_collected(queue, priority, message))


class CollectingTransport(virtual.Transport):
    """The API's transport: messages are built by kombu and sent with their records."""

    Channel = CollectingChannel
    driver_type = "redis"
    driver_name = "collector"

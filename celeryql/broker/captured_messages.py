"""The collector: messages are built by kombu and kept, so that they go out with what caused them.

While a collector is open in the current context, published messages are kept in it, so that they
can go out later in the same Redis script as the record of what caused them: either all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.transport import redis, virtual
from kombu.utils.json import dumps

from celeryql.records import Priority, as_utc

# kombu's own steps and one more, whose list has the queue's own name: see `queue_list`.
PRIORITY_STEPS = [0, 1, 3, 6, 9]
# On Redis 0 is taken first. A plain caller's task has the normal one, too: `task_default_priority`.
CELERY_PRIORITIES = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 6}

# Headers with spans of time from the instant on at which Redis gets the message: no clock but that
# of Redis says when they end.
DURATION_HEADERS = ("delay_ms", "expires_in_ms")


@dataclass(frozen=True, slots=True)
class CapturedMessage:
    """One message as kombu would push it.

    Attributes:
        queue_list: the Redis list of its queue and priority.
        tag: kombu's delivery tag, by which it is known until it is acknowledged.
        task_id: the task that it starts.
        due_ms: when it may be pushed, in milliseconds since 1970; None for at once.
        delay_ms: how long after it is sent it may be pushed.
        expires_in_ms: how long after it is sent no run of it may begin any more.
    """

    queue: str
    queue_list: str
    payload: str
    tag: str
    task_id: str
    due_ms: int | None = None
    delay_ms: int | None = None
    expires_in_ms: int | None = None

    def push(self) -> dict[str, Any]:
        """Describe it to a script, which is given the payload apart."""
        push: dict[str, Any] = {
            "queue_list": self.queue_list,
            "tag": self.tag,
            "task_id": self.task_id,
        }
        for name in ("due_ms", "delay_ms", "expires_in_ms"):
            if (value := getattr(self, name)) is not None:
                push[name] = value
        return push


_captured: ContextVar[list[CapturedMessage] | None] = ContextVar("captured_messages", default=None)


def start_capture() -> None:
    """Keep what this context publishes from now on, until `close_collector`.

    Raises:
        RuntimeError: one is open that holds messages, which would be lost.
    """
    if _captured.get():
        raise RuntimeError("a collector is open and holds messages")
    _captured.set([])


def end_capture() -> list[CapturedMessage]:
    """Stop keeping; what was kept is the caller's to push."""
    messages = _captured.get()
    _captured.set(None)
    return messages or []


@contextmanager
def capturing() -> Iterator[list[CapturedMessage]]:
    """Keep what is published inside; the list is filled as it happens."""
    start_capture()
    messages = _captured.get()
    assert messages is not None  # noqa: S101  # just opened
    try:
        yield messages
    finally:
        _captured.set(None)


def capture(message: CapturedMessage) -> bool:
    """Keep a message, if a collector is open; else return False."""
    if (messages := _captured.get()) is None:
        return False
    messages.append(message)
    return True


def is_capturing() -> bool:
    """Tell whether published messages are kept rather than sent."""
    return _captured.get() is not None


def queue_list(queue: str, priority: int) -> str:
    """Name the Redis list that holds a queue's messages of one priority.

    kombu gives the queue's own name to its highest priority, which is the default, too. Here the
    normal one has it, so that what counts or fills a queue by its name, as an autoscaler or a stock
    client does, sees what it expects. The other lists of stock clients are looked at as well.
    """
    step = max(s for s in PRIORITY_STEPS if s <= priority)
    is_normal = step == CELERY_PRIORITIES[Priority.NORMAL]
    return queue if is_normal else f"{queue}{redis.Channel.sep}{step}"


def from_kombu(queue: str, priority: int, message: dict[str, Any]) -> CapturedMessage:
    """Take a message as kombu is about to push it."""
    headers, due_ms = message["headers"], None
    spans = {name: headers[name] for name in DURATION_HEADERS if name in headers}
    if (eta := headers.get("eta")) and "delay_ms" not in spans:
        due_ms = int(as_utc(datetime.fromisoformat(eta)).timestamp() * 1_000)
    if eta or spans:
        kept = {name: value for name, value in headers.items() if name not in DURATION_HEADERS}
        message = message | {"headers": kept | {"eta": None}}  # a worker is not to wait again
    return CapturedMessage(
        queue,
        queue_list(queue, priority),
        dumps(message),
        message["properties"]["delivery_tag"],
        headers["id"],
        due_ms,
        **spans,
    )


class CapturingChannel(virtual.Channel):
    """A channel that only builds messages: it never connects."""

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        priority = self._get_message_priority(message, reverse=False)  # type: ignore[no-untyped-call]
        if not capture(from_kombu(queue, priority, message)):
            raise RuntimeError("this process publishes only through celeryql.submission.submitter")


class CapturingTransport(virtual.Transport):
    """Builds messages, which are sent with the records that they belong to."""

    Channel = CapturingChannel
    driver_type = "redis"
    driver_name = "capture"


#: What is published with `connection=COLLECTING` needs an open collector, and no server.
CAPTURING_CONNECTION = Connection("memory://", transport=CapturingTransport)


@cache
def build_only_options() -> dict[str, Any]:
    """Give the options with which `apply_async` builds a message, and no more than that.

    A producer of its own for each message, the declaration of a queue that nothing is sent to, and
    the preparation of a second try take as long as the message itself.
    """
    producer = Producer(CAPTURING_CONNECTION, auto_declare=False)
    return {"producer": producer, "declare": (), "retry": False}

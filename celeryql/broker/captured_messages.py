"""Captures messages that kombu builds, so that they are sent together with a record.

Between `start_capture` and `end_capture`, messages that the current context publishes are not sent.
The caller sends them in the Redis call that writes the record or state that caused them: either
everything is written or nothing.
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
from kombu.transport import virtual
from kombu.utils.json import dumps

from celeryql.broker.priorities import queue_list
from celeryql.records import as_utc

# Headers with durations that begin when Redis receives the message, so that only the clock of Redis
# decides when they end.
DURATION_HEADERS = ("delay_ms", "expires_in_ms")


@dataclass(frozen=True, slots=True)
class CapturedMessage:
    """A message as kombu would push it.

    Attributes:
        queue_list: the Redis list of its queue and priority.
        tag: kombu's delivery tag, which identifies it until it is acknowledged.
        task_id: the task that it starts.
        due_ms: earliest time of the push, in milliseconds since 1970; None to push it at once.
        delay_ms: milliseconds from sending to the push.
        expires_in_ms: milliseconds from sending after which the task no longer starts.
    """

    queue: str
    queue_list: str
    payload: str
    tag: str
    task_id: str
    due_ms: int | None = None
    delay_ms: int | None = None
    expires_in_ms: int | None = None

    @classmethod
    def from_kombu(cls, queue: str, priority: int, message: dict[str, Any]) -> CapturedMessage:
        """Convert a message that kombu is about to push."""
        headers, due_ms = message["headers"], None
        durations = {name: headers[name] for name in DURATION_HEADERS if name in headers}
        if (eta := headers.get("eta")) and "delay_ms" not in durations:
            due_ms = int(as_utc(datetime.fromisoformat(eta)).timestamp() * 1_000)
        if eta or durations:
            kept = {name: value for name, value in headers.items() if name not in durations}
            # Without an eta, so that the worker does not wait a second time.
            message = message | {"headers": kept | {"eta": None}}
        return cls(
            queue,
            queue_list(queue, priority),
            dumps(message),
            message["properties"]["delivery_tag"],
            headers["id"],
            due_ms,
            **durations,
        )

    def encode(self) -> dict[str, Any]:
        """Return the argument for a Lua function, which gets the payload as another argument."""
        argument: dict[str, Any] = {
            "queue_list": self.queue_list,
            "tag": self.tag,
            "task_id": self.task_id,
        }
        for name in ("due_ms", "delay_ms", "expires_in_ms"):
            if (value := getattr(self, name)) is not None:
                argument[name] = value
        return argument


_captured: ContextVar[list[CapturedMessage] | None] = ContextVar("captured_messages", default=None)


def start_capture() -> None:
    """Capture what this context publishes, until `end_capture`.

    Raises:
        RuntimeError: captured messages were not sent, and would be lost.
    """
    if _captured.get():
        raise RuntimeError("captured messages were not sent: call end_capture() and push them")
    _captured.set([])


def end_capture() -> list[CapturedMessage]:
    """Stop capturing, and return the messages; the caller sends them."""
    messages = _captured.get()
    _captured.set(None)
    return messages or []


@contextmanager
def capturing() -> Iterator[list[CapturedMessage]]:
    """Capture what is published inside, in the list that it yields."""
    start_capture()
    messages = _captured.get()
    assert messages is not None  # noqa: S101  # just opened
    try:
        yield messages
    finally:
        _captured.set(None)


def capture(message: CapturedMessage) -> bool:
    """Capture a message; return False if nothing captures."""
    if (messages := _captured.get()) is None:
        return False
    messages.append(message)
    return True


def is_capturing() -> bool:
    """Return whether published messages are captured."""
    return _captured.get() is not None


class CapturingChannel(virtual.Channel):
    """A channel that never connects: its messages can only be captured."""

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        priority = self._get_message_priority(message, reverse=False)  # type: ignore[no-untyped-call]
        if not capture(CapturedMessage.from_kombu(queue, priority, message)):
            raise RuntimeError(
                "this process cannot publish: enqueue through celeryql.submission.submitter"
            )


class CapturingTransport(virtual.Transport):
    """A transport that only builds messages."""

    Channel = CapturingChannel
    driver_type = "redis"
    driver_name = "capture"


#: Publishing over this connection needs no server; the messages are captured.
CAPTURING_CONNECTION = Connection("memory://", transport=CapturingTransport)


@cache
def build_only_options() -> dict[str, Any]:
    """Return options for `apply_async` with which it only builds a message.

    Without them it also creates a producer, declares the queue and prepares a retry, which takes as
    long as building the message.
    """
    producer = Producer(CAPTURING_CONNECTION, auto_declare=False)
    return {"producer": producer, "declare": (), "retry": False}

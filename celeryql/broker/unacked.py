"""What a worker holds: taken from the outbox and given back to it, each in one script."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.asynchronous import get_event_loop
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis.commands.core import Script

from celeryql.broker.captured_messages import queue_list
from celeryql.outages import OUTAGES
from celeryql.scripts import OUTBOX, source

_FORGET_AFTER_S = 0.01  # a busy worker takes its next message before
_RESTORED_AT_ONCE = 1_000
_SHOWN = 200  # characters of a message that cannot be read

logger = logging.getLogger(__name__)


class ReceivedMessage(virtual.Message):
    """A message as a worker receives it; one that is none is rejected, and the others go on."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        """Read what was taken from a queue.

        Raises:
            Empty: it is no message of Celery's, which is logged.
        """
        try:
            super().__init__(payload, channel=channel, **kwargs)  # type: ignore[no-untyped-call]
            self.delivery_info["exchange"], self.delivery_info["routing_key"]
            if expires_at_ms := payload.get("expires_at_ms"):
                self.headers["expires"] = _in_utc(expires_at_ms).isoformat()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            log_rejected(payload, error)
            raise Empty from error

    def mark_taken(self, at_ms: int) -> None:
        """Note when it was taken, by the clock of Redis, in milliseconds since 1970."""
        self._taken_at_ms, self._taken_at_s = at_ms, time.monotonic()

    def now(self) -> datetime:
        """Tell the time by the clock of Redis."""
        return _in_utc(self._taken_at_ms + (time.monotonic() - self._taken_at_s) * 1_000)


def _in_utc(at_ms: float) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def log_rejected(message: Any, error: Exception) -> None:
    """Say why something that was taken from a queue goes no further."""
    shown = str(message)[:_SHOWN]
    logger.error("Rejected what is no message (%r): %s", error, shown)


class QoS(redis.QoS):
    """kombu's notes of what is held, kept in step with the outbox.

    What is acknowledged is forgotten a moment later, with the next message that is taken: so that
    costs no round trip. Of a worker that dies within that moment it is delivered again, and dropped
    because its task has ended or gone on; as is that of one that dies just before it acknowledges.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._acknowledged: list[str] = []
        self._is_forgetting = False

    def append(self, message: ReceivedMessage, delivery_tag: str) -> None:
        """Note that this worker holds a message, and no more those that it has acknowledged.

        Raises:
            Empty: another copy of it is held already; this one was pushed again for nothing. Or it
                is not due: no worker waits for that, by whatever clock its host has.
        """
        info = message.delivery_info
        if message.headers.get("eta"):  # of a client that has an app of its own
            for queue in self.channel._lookup(info["exchange"], info["routing_key"]):  # noqa: SLF001
                self.channel._put(queue, message._raw)  # noqa: SLF001
            raise Empty
        entry = dumps([message._raw, info["exchange"], info["routing_key"]])  # noqa: SLF001
        forgotten = tuple(self._acknowledged)
        taken_at_ms = self._take(args=[delivery_tag, entry, *forgotten])
        del self._acknowledged[: len(forgotten)]
        if not taken_at_ms:
            raise Empty
        message.mark_taken(taken_at_ms)
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Have a message forgotten; one of a lost connection was given back, and is dropped.

        Its place in this worker is free at once, even where Redis does not answer.
        """
        virtual.QoS.ack(self, delivery_tag)
        self._acknowledged.append(delivery_tag)
        if (hub := get_event_loop()) is None:  # nobody would come back to it
            self.forget()
        elif not self._is_forgetting:
            self._is_forgetting = True
            hub.call_later(_FORGET_AFTER_S, self.forget)

    def forget(self) -> None:
        """Forget now what was acknowledged; where Redis does not answer, with what comes next."""
        self._is_forgetting = False
        if self._acknowledged and not self.channel.closed:
            forgotten = tuple(self._acknowledged)
            with suppress(*OUTAGES), self.channel.conn_or_acquire() as client:
                both = client.pipeline().hdel(self.unacked_key, *forgotten)
                both.zrem(self.unacked_index_key, *forgotten).execute()
                del self._acknowledged[: len(forgotten)]

    def log_rejected(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        """Forget a message, or give it back."""
        if not self.channel.closed:
            try:
                if requeue:
                    self.restore_by_tag(delivery_tag, leftmost=True)
                else:
                    self._remove_from_indices(delivery_tag).execute()  # type: ignore[no-untyped-call]
            finally:  # else it would be renewed for ever, and its place here never be free again
                virtual.QoS.ack(self, delivery_tag)

    @property
    def held(self) -> list[str]:
        """The tags of what this worker holds."""
        return [tag for tag in list(self._delivered) if tag not in self._dirty]

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Do nothing at the times that kombu's event loop finds for it: see `delivery.py`."""

    def restore_overdue(self, client: Any) -> None:
        """Give back what dead workers held: nobody has renewed it within the visibility timeout."""
        for tag in self._overdue(args=[self.visibility_timeout, _RESTORED_AT_ONCE], client=client):
            self.restore_by_tag(bytes_to_str(tag), client)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002
        """Give a message back to its queue: to be taken next, or `leftmost`, last."""
        with self.channel.conn_or_acquire(client) as redis_:
            held = redis_.hget(self.unacked_key, tag)
            if held is None:
                redis_.zrem(self.unacked_index_key, tag)
                return
            try:
                message, exchange, routing_key = loads(bytes_to_str(held))
                message["headers"]["redelivered"] = True
                message["properties"]["delivery_info"]["redelivered"] = True
                # Whoever held it may still acknowledge it by the old tag.
                message["properties"]["delivery_tag"] = new_tag = str(uuid4())
            except (KeyError, TypeError, ValueError) as error:
                log_rejected(held, error)
                self._remove_from_indices(tag).execute()  # type: ignore[no-untyped-call]
                return
            priority = self.channel._get_message_priority(message, reverse=False)  # noqa: SLF001
            queues = self.channel._lookup(exchange, routing_key)  # noqa: SLF001
            lists = [queue_list(queue, priority) for queue in queues]
            place = "last" if leftmost else "first"
            self._restore(args=[tag, new_tag, place, dumps(message), *lists], client=redis_)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give back what is held, if Redis can be reached; else it is found by its age."""
        try:
            super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]
        except (*OUTAGES, AttributeError) as error:  # the latter: its channel has no connection
            logger.warning("Messages are given back later, when their time is over: %r", error)
        self._delivered.clear()
        self._delivered.restored = True  # type: ignore[attr-defined]

    @cached_property
    def _take(self) -> Script:
        # A client of its own, and kept: `client` waits for messages, and to make one takes 0.1 ms.
        return outbox_script(self.channel._create_client(), "take")  # noqa: SLF001

    @cached_property
    def _overdue(self) -> Script:
        return outbox_script(self.channel.client, "overdue")

    @cached_property
    def _restore(self) -> Script:
        return outbox_script(self.channel.client, "restore")


def outbox_script(client: Any, name: str) -> Script:
    """Give a script that only moves messages."""
    script: Script = client.register_script(source(name, OUTBOX))
    return script

"""The messages that a worker holds: one call takes each from the outbox, and one restores it."""

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

from celeryql.broker.priorities import queue_list
from celeryql.lua_functions import call
from celeryql.outages import OUTAGES

_FORGET_AFTER_S = 0.01  # a busy worker takes its next message earlier
_RESTORE_BATCH = 1_000  # messages
_SHOWN = 200  # characters of a message that cannot be read

logger = logging.getLogger(__name__)


class ReceivedMessage(virtual.Message):
    """A message as a worker receives it; anything else in a queue is logged and dropped."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        """Read an entry of a queue.

        Raises:
            Empty: it is not a Celery message; this is logged.
        """
        try:
            super().__init__(payload, channel=channel, **kwargs)  # type: ignore[no-untyped-call]
            self.delivery_info["exchange"], self.delivery_info["routing_key"]
            if expires_at_ms := payload.get("expires_at_ms"):
                self.headers["expires"] = _in_utc(expires_at_ms).isoformat()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            log_dropped(payload, error)
            raise Empty from error

    def mark_taken(self, at_ms: int) -> None:
        """Remember when it was taken, by the clock of Redis, in milliseconds since 1970."""
        self._taken_at_ms, self._taken_at_s = at_ms, time.monotonic()

    def now(self) -> datetime:
        """Return the current time by the clock of Redis."""
        return _in_utc(self._taken_at_ms + (time.monotonic() - self._taken_at_s) * 1_000)


def _in_utc(at_ms: float) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def log_dropped(message: Any, error: Exception) -> None:
    """Log why an entry of a queue is dropped."""
    shown = str(message)[:_SHOWN]
    logger.error("Dropped a queue entry that is not a Celery message (%r): %s", error, shown)


class QoS(redis.QoS):
    """kombu's QoS, which moves messages between the outbox and `unacked`.

    An acknowledged message leaves `unacked` a moment later, together with the next message that is
    taken, which saves a round trip. If the worker dies first, the message is redelivered, and the
    next worker drops it because its task has ended or continued. The same happens if a worker dies
    just before it acknowledges.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._acknowledged: list[str] = []
        self._is_forgetting = False

    def append(self, message: ReceivedMessage, delivery_tag: str) -> None:
        """Add a message to `unacked`, and remove the acknowledged ones.

        Raises:
            Empty: a worker already holds another copy, or the message has an `eta` and was
                rescheduled in Redis.
        """
        info = message.delivery_info
        if message.headers.get("eta"):  # from a client with a Celery app of its own
            for queue in self.channel._lookup(info["exchange"], info["routing_key"]):  # noqa: SLF001
                self.channel._put(queue, message._raw)  # noqa: SLF001
            raise Empty
        entry = dumps([message._raw, info["exchange"], info["routing_key"]])  # noqa: SLF001
        forgotten = tuple(self._acknowledged)
        taken_at_ms = call(self._taking_client, "take_message", delivery_tag, entry, *forgotten)
        del self._acknowledged[: len(forgotten)]
        if not taken_at_ms:
            raise Empty
        message.mark_taken(taken_at_ms)
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; `forget` removes it from `unacked`.

        The worker can take another message at once, even if Redis does not answer.
        """
        virtual.QoS.ack(self, delivery_tag)
        self._acknowledged.append(delivery_tag)
        if (hub := get_event_loop()) is None:  # nothing would call `forget` later
            self.forget()
        elif not self._is_forgetting:
            self._is_forgetting = True
            hub.call_later(_FORGET_AFTER_S, self.forget)

    def forget(self) -> None:
        """Remove acknowledged messages from `unacked`; in an outage, the next call does it."""
        self._is_forgetting = False
        if self._acknowledged and not self.channel.closed:
            forgotten = tuple(self._acknowledged)
            with suppress(*OUTAGES), self.channel.conn_or_acquire() as client:
                pipe = client.pipeline().hdel(self.unacked_key, *forgotten)
                pipe.zrem(self.unacked_index_key, *forgotten).execute()
                del self._acknowledged[: len(forgotten)]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        """Remove a message from `unacked`, or restore it to its queue."""
        if not self.channel.closed:
            try:
                if requeue:
                    self.restore_by_tag(delivery_tag, leftmost=True)
                else:
                    self._remove_from_indices(delivery_tag).execute()  # type: ignore[no-untyped-call]
            finally:  # otherwise its lease is renewed forever, and it keeps its prefetch slot
                virtual.QoS.ack(self, delivery_tag)

    @property
    def held(self) -> list[str]:
        """The tags of the messages that this worker holds."""
        return [tag for tag in list(self._delivered) if tag not in self._dirty]

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Do nothing: kombu's event loop calls it too rarely, so `worker/heartbeat.py` restores."""

    def restore_overdue(self, client: Any) -> None:
        """Restore messages of dead workers: not renewed within the visibility timeout."""
        limits = (str(self.visibility_timeout), str(_RESTORE_BATCH))
        for tag in call(client, "find_overdue", *limits):
            self.restore_by_tag(bytes_to_str(tag), client)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002
        """Restore a message to its queue, to be taken next or, if `leftmost`, last."""
        with self.channel.conn_or_acquire(client) as redis_:
            held = redis_.hget(self.unacked_key, tag)
            if held is None:
                redis_.zrem(self.unacked_index_key, tag)
                return
            try:
                message, exchange, routing_key = loads(bytes_to_str(held))
                message["headers"]["redelivered"] = True
                message["properties"]["delivery_info"]["redelivered"] = True
                # The worker that held it may still acknowledge the old tag.
                message["properties"]["delivery_tag"] = new_tag = str(uuid4())
            except (KeyError, TypeError, ValueError) as error:
                log_dropped(held, error)
                self._remove_from_indices(tag).execute()  # type: ignore[no-untyped-call]
                return
            priority = self.channel._get_message_priority(message, reverse=False)  # noqa: SLF001
            queues = self.channel._lookup(exchange, routing_key)  # noqa: SLF001
            lists = [queue_list(queue, priority) for queue in queues]
            place = "last" if leftmost else "first"
            call(redis_, "restore_message", tag, new_tag, place, dumps(message), *lists)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Restore the messages that this worker holds; in an outage, other workers do it later."""
        try:
            super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]
        except (*OUTAGES, AttributeError) as error:  # AttributeError: the channel has no connection
            logger.warning(
                "Held messages are restored after the visibility timeout, not now: %r", error
            )
        self._delivered.clear()
        self._delivered.restored = True  # type: ignore[attr-defined]

    @cached_property
    def _taking_client(self) -> Any:
        # Not `client`, which is blocked in BRPOP; cached, because a new client takes 0.1 ms.
        return self.channel._create_client()  # noqa: SLF001

"""kombu's Redis transport without the gaps in which it loses messages.

kombu pops a message from its list and then adds it to `unacked`: a worker that dies in between
loses it. Here every message is in the outbox from its push until it is in `unacked`
(`lua/modules/outbox.lua`), and the sweep pushes a message again that was popped but not added.
Messages with an `eta` wait in Redis, never in a worker. Only messages that are published through
`producer.batch()` bypass both.
"""

from __future__ import annotations

import json
from contextlib import suppress
from queue import Empty
from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import redis

from celeryql.broker.captured_messages import DURATION_HEADERS, CapturedMessage, capture
from celeryql.broker.priorities import CELERY_PRIORITIES, PRIORITY_STEPS, queue_list
from celeryql.broker.unacked import QoS, ReceivedMessage, log_dropped
from celeryql.lua_functions import call
from celeryql.outages import OUTAGES
from celeryql.records import KEY, Priority

_RECONNECT_S = 2


class Channel(redis.Channel):
    """kombu's Redis channel, which captures messages or pushes them through the outbox."""

    QoS = QoS
    Message = ReceivedMessage
    priority_steps = PRIORITY_STEPS

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if "id" not in message["headers"]:  # a reply to `celery inspect`, from any client
            message["properties"]["priority"] = CELERY_PRIORITIES[Priority.NORMAL]
        if "id" not in message["headers"] or "_publish_batch" in kwargs:
            super()._put(queue, message, **kwargs)  # type: ignore[no-untyped-call]
            return
        priority = self._get_message_priority(message, reverse=False)
        captured = CapturedMessage.from_kombu(queue, priority, message)
        if not capture(captured):
            with self.conn_or_acquire() as client:
                push(client, captured)

    def _purge(self, queue: str) -> int:
        with self.conn_or_acquire() as client:
            for list_ in {queue_list(queue, step) for step in PRIORITY_STEPS}:
                if tags := client.zrange(f"{KEY}outbox_index:{list_}", 0, -1):
                    client.hdel(f"{KEY}outbox", *tags)
                    client.zrem(f"{KEY}outbox_index:{list_}", *tags)
        purged: int = super()._purge(queue)  # type: ignore[no-untyped-call]
        return purged

    def _q_for_pri(self, queue: str, pri: int) -> str:
        return queue_list(queue, pri)

    def basic_consume(self, *args: Any, **kwargs: Any) -> Any:
        """Start consuming; restore the messages of dead workers, as the heartbeat does later."""
        tag = super().basic_consume(*args, **kwargs)  # type: ignore[no-untyped-call]
        with self.conn_or_acquire() as client:
            self.qos.restore_overdue(client)
        return tag

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            log_dropped(getattr(error, "doc", getattr(error, "object", "")), error)
            raise Empty from error

    def close(self) -> None:
        """Close completely, even if the pending BRPOP cannot be read."""
        if self._in_poll:
            with suppress(Empty, *OUTAGES):
                self._brpop_read()
        if self._qos:  # None until it has taken a message
            self._qos.forget()
        super().close()  # type: ignore[no-untyped-call]


class ReconnectingConnection(Connection):
    """A connection that reconnects every two seconds, however long the outage of Redis."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """Connect; the pauses of kombu would grow to half a minute."""
        options = {"interval_max": _RECONNECT_S} | options
        return super().ensure_connection(*args, **options)  # type: ignore[no-untyped-call]


class Amqp(AMQP):
    """Celery's AMQP class, with our connection and with durations in message headers."""

    Connection = ReconnectingConnection

    def as_task_v2(
        self,
        task_id: str,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: Any = None,
        group_id: str | None = None,
        group_index: int | None = None,
        expires: Any = None,
        *others: Any,
        **options: Any,
    ) -> Any:
        """Build a message as Celery does, with durations beside the times of this host's clock."""
        given = (task_id, name, args, kwargs, countdown, eta, group_id, group_index, expires)
        made = super().as_task_v2(*given, *others, **options)
        for header, seconds in zip(DURATION_HEADERS, (countdown, expires), strict=True):
            if isinstance(seconds, int | float) and seconds:
                made.headers[header] = int(seconds * 1_000)
        return made


class Transport(redis.Transport):
    """kombu's Redis transport; `broker_transport` names it, so the URL stays `redis://`."""

    Channel = Channel


def push(client: Any, message: CapturedMessage, *, is_spare: bool = False) -> None:
    """Push a message, or schedule it in Redis if it is due later.

    Args:
        client: the Redis client.
        message: the message.
        is_spare: drop it if its task has a scheduled message already.
    """
    argument = json.dumps(message.encode() | {"is_spare": is_spare})
    call(client, "push_message", argument, message.payload)

"""The collector keeps messages that kombu builds; a channel notes what is held, and forgets it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kombu.asynchronous import Hub, set_event_loop
from kombu.connection import Connection
from redis import Redis

from celeryql.broker.captured_messages import (
    CAPTURING_CONNECTION,
    CapturingTransport,
    end_capture,
    is_capturing,
    queue_list,
    start_capture,
)
from celeryql.broker.transport import Transport
from tasks.arithmetic import add
from tasks.celery_app import app


@pytest.fixture
def worker_loop() -> Iterator[Hub]:
    """The loop that a worker runs in this process."""
    hub = Hub()
    set_event_loop(hub)
    yield hub
    set_event_loop(None)
    hub.close()


@pytest.fixture
def channel(empty_redis: Redis, redis_url: str, worker_loop: Hub) -> Iterator[Any]:
    """What such a worker takes messages by."""
    with Connection(redis_url.removesuffix("0") + "1", transport=Transport) as connection:
        yield connection.channel()


def taken(redis: Redis, channel: Any) -> Any:
    """Send a message, and take it and note that it is held, as a worker does."""
    producer = app.amqp.Producer(channel.connection.client)
    add.apply_async((1, 2), producer=producer, ignore_result=True)
    message = channel.Message(json.loads(redis.rpop("celery")), channel=channel)
    channel.qos.append(message, message.delivery_tag)
    return message


@pytest.mark.parametrize(
    ("priority", "name"),
    [
        (0, "celery\x06\x160"),
        (1, "celery"),
        (2, "celery"),
        (3, "celery\x06\x163"),
        (6, "celery\x06\x166"),
        (9, "celery\x06\x169"),
    ],
)
def test_the_normal_priority_has_the_list_of_the_queues_own_name(priority, name):
    assert queue_list("celery", priority) == name


def test_an_open_collector_keeps_what_is_published():
    producer = app.amqp.Producer(Connection("memory://", transport=CapturingTransport))

    start_capture()
    add.apply_async((1, 2), task_id="an-id", producer=producer)
    (message,) = end_capture()

    assert (message.queue, message.queue_list, message.task_id) == ("celery", "celery", "an-id")
    assert json.loads(message.payload)["headers"]["task"] == "tasks.arithmetic.add"
    assert not is_capturing()


def test_a_process_that_only_builds_refuses_to_send():
    producer = app.amqp.Producer(Connection("memory://", transport=CapturingTransport))

    with pytest.raises(RuntimeError, match="only through"):
        producer.publish({}, routing_key="celery", headers={"id": "an-id"})


def test_a_message_tells_spans_as_spans_and_times_as_times_and_no_worker_waits_for_it():
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

    start_capture()
    add.apply_async((1, 2), countdown=1.5, expires=20, connection=CAPTURING_CONNECTION)
    add.apply_async((1, 2), eta=at, expires=at, connection=CAPTURING_CONNECTION)
    soon, later = end_capture()

    headers = [json.loads(message.payload)["headers"] for message in (soon, later)]
    assert (soon.due_ms, soon.delay_ms, soon.expires_in_ms) == (None, 1_500, 20_000)
    assert (later.due_ms, later.delay_ms, later.expires_in_ms) == (1_893_553_445_000, None, None)
    assert [header["eta"] for header in headers] == [None, None]
    assert headers[1]["expires"] == at.isoformat()


def test_a_plain_caller_with_a_countdown_leaves_its_message_in_redis(empty_redis, redis_url):
    url = redis_url.removesuffix("0") + "1"
    with Connection(url, transport=Transport) as connection:
        producer = app.amqp.Producer(connection)
        options = {"producer": producer, "ignore_result": True, "countdown": 60}
        add.apply_async((1, 2), task_id="later", **options)

    held = json.loads(empty_redis.hget("celeryql:scheduled_messages", "later"))
    due_ms = empty_redis.zscore("celeryql:scheduled", "later")
    assert (held["queue_list"], empty_redis.llen("celery")) == ("celery", 0)
    assert 59_000 < due_ms - time.time() * 1_000 < 61_000


def test_who_held_a_message_that_was_given_back_cannot_acknowledge_it_for_another(
    empty_redis, redis_url
):
    with Connection(redis_url.removesuffix("0") + "1", transport=Transport) as connection:
        add.apply_async(
            (1, 2), producer=app.amqp.Producer(connection), ignore_result=True, task_id="x"
        )
        first, second = connection.channel(), connection.channel()
        payload = json.loads(empty_redis.rpop("celery"))
        held = first.Message(payload, channel=first)
        first.qos.append(held, held.delivery_tag)
        second.qos.restore_by_tag(held.delivery_tag)  # as if its worker were dead
        again = json.loads(empty_redis.rpop("celery"))
        held_again = second.Message(again, channel=second)
        second.qos.append(held_again, held_again.delivery_tag)

        first.qos.ack(held.delivery_tag)

        assert empty_redis.hkeys("unacked") == [held_again.delivery_tag]
        assert again["headers"]["redelivered"]
        second.qos.ack(held_again.delivery_tag)
    assert empty_redis.exists("unacked", "celeryql:outbox") == 0


def test_what_is_acknowledged_is_forgotten_with_the_next_message_that_is_taken(
    empty_redis, channel
):
    first = taken(empty_redis, channel)
    channel.qos.ack(first.delivery_tag)
    places = (channel.qos.held, empty_redis.hkeys("unacked"))

    second = taken(empty_redis, channel)

    assert places == ([], [first.delivery_tag])
    assert empty_redis.hkeys("unacked") == [second.delivery_tag]
    assert empty_redis.zrange("unacked_index", 0, -1) == [second.delivery_tag]


def test_what_is_acknowledged_is_forgotten_in_a_moment_where_no_other_is_taken(
    empty_redis, channel, worker_loop
):
    channel.qos.ack(taken(empty_redis, channel).delivery_tag)

    deadline = time.monotonic() + 5
    while empty_redis.exists("unacked") and time.monotonic() < deadline:
        worker_loop.fire_timers()

    assert empty_redis.exists("unacked", "unacked_index") == 0


def test_what_is_acknowledged_is_forgotten_before_its_channel_is_closed(empty_redis, channel):
    channel.qos.ack(taken(empty_redis, channel).delivery_tag)

    channel.close()

    assert empty_redis.exists("unacked", "unacked_index", "celery") == 0

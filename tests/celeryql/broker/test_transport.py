"""Messages are captured, pushed through the outbox, and kept in `unacked` while they are held."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kombu.asynchronous import Hub, set_event_loop
from kombu.connection import Connection
from redis import Redis, ResponseError

from celeryql.broker.captured_messages import (
    CAPTURING_CONNECTION,
    CapturingTransport,
    end_capture,
    is_capturing,
    start_capture,
)
from celeryql.broker.priorities import queue_list
from celeryql.broker.transport import Transport
from tasks.arithmetic import add
from tasks.celery_app import app


@pytest.fixture
def worker_loop() -> Iterator[Hub]:
    """The event loop of a worker, in this process."""
    hub = Hub()
    set_event_loop(hub)
    yield hub
    set_event_loop(None)
    hub.close()


@pytest.fixture
def channel(empty_redis: Redis, redis_url: str, worker_loop: Hub) -> Iterator[Any]:
    """The channel of a worker."""
    with Connection(redis_url.removesuffix("0") + "1", transport=Transport) as connection:
        yield connection.channel()


def take(redis: Redis, channel: Any) -> Any:
    """Send a message, and take it as a worker does."""
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
def test_the_list_of_the_normal_priority_has_the_name_of_the_queue(priority, name):
    assert queue_list("celery", priority) == name


def test_published_messages_are_captured():
    producer = app.amqp.Producer(Connection("memory://", transport=CapturingTransport))

    start_capture()
    add.apply_async((1, 2), task_id="an-id", producer=producer)
    (message,) = end_capture()

    assert (message.queue, message.queue_list, message.task_id) == ("celery", "celery", "an-id")
    assert json.loads(message.payload)["headers"]["task"] == "tasks.arithmetic.add"
    assert not is_capturing()


def test_a_process_that_only_builds_messages_refuses_to_publish():
    producer = app.amqp.Producer(Connection("memory://", transport=CapturingTransport))

    with pytest.raises(RuntimeError, match="this process cannot publish"):
        producer.publish({}, routing_key="celery", headers={"id": "an-id"})


def test_durations_and_times_of_a_message_are_kept_apart():
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


def test_a_countdown_of_a_plain_caller_waits_in_redis(empty_redis, redis_url):
    url = redis_url.removesuffix("0") + "1"
    with Connection(url, transport=Transport) as connection:
        producer = app.amqp.Producer(connection)
        options = {"producer": producer, "ignore_result": True, "countdown": 60}
        add.apply_async((1, 2), task_id="later", **options)

    held = json.loads(empty_redis.hget("celeryql:scheduled_messages", "later"))
    due_ms = empty_redis.zscore("celeryql:scheduled", "later")
    assert (held["queue_list"], empty_redis.llen("celery")) == ("celery", 0)
    assert 59_000 < due_ms - time.time() * 1_000 < 61_000


def test_a_restored_message_cannot_be_acknowledged_by_its_former_holder(empty_redis, redis_url):
    with Connection(redis_url.removesuffix("0") + "1", transport=Transport) as connection:
        add.apply_async(
            (1, 2), producer=app.amqp.Producer(connection), ignore_result=True, task_id="x"
        )
        first, second = connection.channel(), connection.channel()
        payload = json.loads(empty_redis.rpop("celery"))
        held = first.Message(payload, channel=first)
        first.qos.append(held, held.delivery_tag)
        second.qos.restore_by_tag(held.delivery_tag)  # as if the worker of `first` were dead
        again = json.loads(empty_redis.rpop("celery"))
        held_again = second.Message(again, channel=second)
        second.qos.append(held_again, held_again.delivery_tag)

        first.qos.ack(held.delivery_tag)

        assert empty_redis.hkeys("unacked") == [held_again.delivery_tag]
        assert again["headers"]["redelivered"]
        second.qos.ack(held_again.delivery_tag)
    assert empty_redis.exists("unacked", "celeryql:outbox") == 0


def test_an_acknowledged_message_is_removed_with_the_next_one_taken(empty_redis, channel):
    first = take(empty_redis, channel)
    channel.qos.ack(first.delivery_tag)
    before = (channel.qos.held, empty_redis.hkeys("unacked"))

    second = take(empty_redis, channel)

    assert before == ([], [first.delivery_tag])
    assert empty_redis.hkeys("unacked") == [second.delivery_tag]
    assert empty_redis.zrange("unacked_index", 0, -1) == [second.delivery_tag]


def test_an_acknowledged_message_is_removed_soon_if_no_other_is_taken(
    empty_redis, channel, worker_loop
):
    channel.qos.ack(take(empty_redis, channel).delivery_tag)

    deadline = time.monotonic() + 5
    while empty_redis.exists("unacked") and time.monotonic() < deadline:
        worker_loop.fire_timers()

    assert empty_redis.exists("unacked", "unacked_index") == 0


def test_an_acknowledged_message_is_removed_before_its_channel_closes(empty_redis, channel):
    channel.qos.ack(take(empty_redis, channel).delivery_tag)

    channel.close()

    assert empty_redis.exists("unacked", "unacked_index", "celery") == 0


def test_a_rejected_message_frees_its_slot_even_if_redis_fails(empty_redis, channel):
    message = take(empty_redis, channel)
    empty_redis.delete("unacked")
    empty_redis.set("unacked", "no hash")  # Redis answers with an error

    with pytest.raises(ResponseError):
        channel.qos.reject(message.delivery_tag, requeue=True)

    assert channel.qos.held == []

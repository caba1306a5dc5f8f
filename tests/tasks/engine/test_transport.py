"""The collector: messages are built by kombu and kept, not sent."""

from __future__ import annotations

import json

import pytest
from kombu.connection import Connection

from tasks.arithmetic import add
from tasks.engine.celery_app import app
from tasks.engine.transport import (
    CollectingTransport,
    close_collector,
    is_collecting,
    open_collector,
    queue_list,
)


@pytest.mark.parametrize(
    ("priority", "name"),
    [(0, "celery"), (2, "celery"), (3, "celery\x06\x163"), (9, "celery\x06\x169")],
)
def test_each_priority_step_has_its_list(priority, name):
    assert queue_list("celery", priority) == name


def test_an_open_collector_keeps_what_is_published():
    producer = app.amqp.Producer(Connection("memory://", transport=CollectingTransport))

    open_collector()
    add.apply_async((1, 2), task_id="an-id", producer=producer)
    (message,) = close_collector()

    assert (message.queue, message.queue_list, message.task_id) == ("celery", "celery", "an-id")
    assert json.loads(message.payload)["headers"]["task"] == "tasks.arithmetic.add"
    assert not is_collecting()


def test_a_process_that_only_builds_refuses_to_send():
    producer = app.amqp.Producer(Connection("memory://", transport=CollectingTransport))

    with pytest.raises(RuntimeError, match="only through"):
        producer.publish({}, routing_key="celery", headers={"id": "an-id"})

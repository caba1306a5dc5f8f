"""GraphQL over WebSocket: errors, and several operations on one socket."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

pytestmark = pytest.mark.slow

WATCH = """
subscription Watch($id: ID!, $after: EventCursor) {
  task(id: $id, after: $after) { task { id state } }
}
"""


class Socket:
    """A WebSocket with the protocol graphql-transport-ws."""

    def __init__(self, socket):
        self._socket = socket

    async def send(self, **message):
        await self._socket.send(json.dumps(message))

    async def subscribe(self, id_, operation=WATCH, **variables):
        payload = {"query": operation, "variables": variables}
        await self.send(id=id_, type="subscribe", payload=payload)

    async def receive(self):
        async with asyncio.timeout(10):
            return json.loads(await self._socket.recv())

    async def until_complete(self, *ids):
        """Collect the messages of some operations until each is complete."""
        messages = {}
        is_open = set(ids)
        while is_open:
            message = await self.receive()
            messages.setdefault(message["id"], []).append(message)
            if message["type"] == "complete":
                is_open.remove(message["id"])
        return messages


@asynccontextmanager
async def open_socket(client):
    url = client.url.replace("http", "ws", 1) + "/graphql"
    async with connect(url, subprotocols=["graphql-transport-ws"]) as connection:
        socket = Socket(connection)
        await socket.send(type="connection_init")
        assert (await socket.receive())["type"] == "connection_ack"
        yield socket


def codes(errors):
    return [error["extensions"]["code"] for error in errors]


@pytest.mark.parametrize(
    ("operation", "variables", "code"),
    [
        (WATCH, {"id": "never"}, "NOT_FOUND"),
        (WATCH, {}, "BAD_USER_INPUT"),
        ("subscription { nope }", {}, "BAD_USER_INPUT"),
        ("{ nope }", {}, "BAD_USER_INPUT"),
        ("subscription { task(id: ", {}, "BAD_USER_INPUT"),
    ],
    ids=["unknown task", "missing variable", "unknown subscription", "unknown query", "syntax"],
)
async def test_a_refused_operation_is_an_error_message_with_its_id(
    client, operation, variables, code
):
    async with open_socket(client) as socket:
        await socket.subscribe("bad", operation, **variables)
        error = await socket.receive()
        await socket.subscribe("good", "{ viewer { subject } }")
        messages = await socket.until_complete("good")

    assert (error["id"], error["type"]) == ("bad", "error")
    assert codes(error["payload"]) == [code]
    assert [message["type"] for message in messages["good"]] == ["next", "complete"]


@pytest.mark.parametrize("after", ["", "yesterday", "12", "1-x"])
async def test_an_invalid_cursor_is_bad_user_input(client, after):
    task_id = await client.enqueue("add", x=1, y=2)

    async with open_socket(client) as socket:
        await socket.subscribe("1", id=task_id, after=after)
        error = await socket.receive()

    assert (error["type"], codes(error["payload"])) == ("error", ["BAD_USER_INPUT"])


async def test_many_subscriptions_on_one_socket_complete_independently(client, start_worker):
    start_worker("celery")
    tasks = [await client.enqueue("wait", seconds=i / 10) for i in range(10)]

    async with open_socket(client) as socket:
        for task_id in tasks:
            await socket.subscribe(task_id, id=task_id)
        messages = await socket.until_complete(*tasks)

    for task_id, received in messages.items():
        events = [message["payload"]["data"]["task"]["task"] for message in received[:-1]]
        assert {event["id"] for event in events} == {task_id}
        assert events[-1]["state"] == "SUCCEEDED"


async def test_a_client_may_end_one_subscription_and_keep_the_other(client, start_worker):
    start_worker("celery")
    task_id = await client.enqueue("wait", seconds=1)

    async with open_socket(client) as socket:
        await socket.subscribe("left", id=task_id)
        await socket.receive()
        await socket.receive()  # after the snapshot, it waits for events
        await socket.send(id="left", type="complete")
        await socket.subscribe("other", "{ viewer { subject } }")
        await socket.until_complete("other")
        await socket.subscribe("kept", id=task_id)
        messages = await socket.until_complete("kept")

    assert set(messages) == {"kept"}
    assert messages["kept"][-2]["payload"]["data"]["task"]["task"]["state"] == "SUCCEEDED"

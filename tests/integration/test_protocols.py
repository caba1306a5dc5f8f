"""GraphQL over HTTP and WebSocket as clients get it wrong, and as they do many things at once."""

from __future__ import annotations

import asyncio
import gc
import json
from contextlib import asynccontextmanager

import pytest
from redis import Redis
from uvicorn import Config, Server
from websockets.asyncio.client import connect

from graphql_api.app import create_app
from tasks.engine.embedded import reserve_port
from tasks.engine.events import Watcher
from tasks.engine.settings import Settings
from tests.conftest import Client

pytestmark = pytest.mark.slow

ADD = """
mutation Add($x: Float!, $options: TaskOptions) {
  enqueueAdd(input: {x: $x, y: 1}, options: $options) {
    __typename
    ... on EnqueueAddSuccess { deduplicated task { id } }
    ... on IdempotencyConflict { message existing { id } }
    ... on InvalidInput { problems { path message } }
  }
}
"""
MAIL = """
mutation Mail($input: SendEmailInput!) {
  enqueueSendEmail(input: $input) { ... on InvalidInput { problems { path message } } }
}
"""
WORKFLOW = """
mutation Workflow($input: WorkflowInput!) {
  enqueueWorkflow(input: $input) { ... on InvalidInput { problems { path message } } }
}
"""
WATCH = """
subscription Watch($id: ID!, $after: EventCursor) {
  task(id: $id, after: $after) { task { id state } }
}
"""


class Socket:
    """One WebSocket that speaks graphql-transport-ws."""

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
        """Gather the messages of some operations until each is complete."""
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
    "operation",
    [
        "{ nope }",
        "{ tasks(first: true) { cursor } }",
        "{ task { id } }",
        "{ tasks(filter: {states: [SLEEPING]}) { cursor } }",
        'mutation { enqueueAdd(input: {x: "a lot", y: 1}) { __typename } }',
        "mutation { enqueueAdd(input: {x: 1}) { __typename } }",
        "mutation { enqueueWorkflow(input: {canvas: {}}) { __typename } }",
        "mutation Add($x: Float!) { enqueueAdd(input: {x: $x, y: 1}) { __typename } }",
    ],
)
async def test_an_operation_that_does_not_fit_the_schema_is_bad_user_input(client, operation):
    answer = await client.answer(operation)

    assert answer["data"] is None
    assert codes(answer["errors"]) == ["BAD_USER_INPUT"]


async def test_a_task_that_was_never_accepted_is_null(client):
    assert await client.execute('{ task(id: "never") { id } }') == {"task": None}


async def test_an_unexpected_error_is_masked_and_logged(client, redis_url, logs):
    with Redis.from_url(redis_url) as redis:
        redis.hset("celeryql:task:broken", mapping={"state": "hunter2"})
        answer = await client.answer('{ task(id: "broken") { id } }')
        redis.delete("celeryql:task:broken")

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["message"].startswith("Internal error ")
    assert "hunter2" not in json.dumps(answer)
    assert error["message"].split()[2].rstrip(":") in (logs / "api.log").read_text()


async def test_a_problem_is_named_by_its_path_in_camel_case(client):
    mail = {
        "to": ["ann@example.org", "bob"], "cc": ["cy"], "replyTo": "di\n", "subject": "a\nb",
        "text": "Hello",
    }  # fmt: skip

    data = await client.execute(MAIL, input=mail)

    assert [problem["path"] for problem in data["enqueueSendEmail"]["problems"]] == [
        ["input", "to", "1"], ["input", "subject"], ["input", "cc", "0"], ["input", "replyTo"],
    ]  # fmt: skip


async def test_a_problem_of_a_step_is_named_by_its_place_in_the_canvas(client):
    mail = {"to": ["ann@example.org"], "subject": "Hi", "text": "Hello", "replyTo": "bob"}
    steps = [{"step": {"task": {"wait": {"seconds": -1}}}}, {"step": {"task": {"sendEmail": mail}}}]

    data = await client.execute(WORKFLOW, input={"canvas": {"chain": [{"chain": steps[:1]}]}})
    others = await client.execute(WORKFLOW, input={"canvas": {"chain": [steps[1]]}})

    assert [problem["path"] for problem in data["enqueueWorkflow"]["problems"]] == [
        ["input", "canvas", "chain", "0", "chain", "0", "step", "task", "wait", "seconds"],
    ]  # fmt: skip
    assert [problem["path"] for problem in others["enqueueWorkflow"]["problems"]] == [
        ["input", "canvas", "chain", "0", "step", "task", "sendEmail", "replyTo"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"tags": ["x"] * 21}, ["options", "tags"]),
        ({"tags": [""]}, ["options", "tags", "0"]),
        ({"tags": ["x", "x" * 101]}, ["options", "tags", "1"]),
        ({"idempotencyKey": ""}, ["options", "idempotencyKey"]),
        ({"idempotencyKey": "x" * 101}, ["options", "idempotencyKey"]),
    ],
)
async def test_options_have_bounds(client, options, path):
    data = await client.execute(ADD, x=1, options=options)

    assert [problem["path"] for problem in data["enqueueAdd"]["problems"]] == [path]


async def test_the_same_key_and_input_give_the_first_task_again(client):
    first = (await client.execute(ADD, x=1, options={"idempotencyKey": "same"}))["enqueueAdd"]
    again = (await client.execute(ADD, x=1, options={"idempotencyKey": "same"}))["enqueueAdd"]

    assert (first["deduplicated"], again["deduplicated"]) == (False, True)
    assert first["task"] == again["task"]


async def test_the_same_key_with_another_input_is_a_conflict(client):
    first = await client.execute(ADD, x=1, options={"idempotencyKey": "other"})
    second = await client.execute(ADD, x=2, options={"idempotencyKey": "other"})

    assert second["enqueueAdd"]["__typename"] == "IdempotencyConflict"
    assert second["enqueueAdd"]["existing"] == first["enqueueAdd"]["task"]


async def test_twenty_requests_at_once_with_one_key_are_one_task(client):
    options = {"idempotencyKey": "twenty", "tags": ["twenty"]}

    answers = await asyncio.gather(*[client.execute(ADD, x=1, options=options) for _ in range(20)])
    data = await client.execute('{ tasks(filter: {tags: ["twenty"]}) { nodes { id } } }')

    assert [a["enqueueAdd"]["deduplicated"] for a in answers].count(False) == 1
    assert [{"id": a["enqueueAdd"]["task"]["id"]} for a in answers] == data["tasks"]["nodes"] * 20


@pytest.mark.parametrize(
    ("operation", "variables", "code"),
    [
        (WATCH, {"id": "never"}, "NOT_FOUND"),
        (WATCH, {}, "BAD_USER_INPUT"),
        ("subscription { nope }", {}, "BAD_USER_INPUT"),
        ("{ nope }", {}, "BAD_USER_INPUT"),
    ],
    ids=["unknown task", "missing variable", "unknown subscription", "unknown query"],
)
async def test_a_refused_operation_is_an_error_message_of_its_id_alone(
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
async def test_a_cursor_that_is_none_is_bad_user_input(client, after):
    task_id = await client.enqueue("enqueueAdd", "{x: 1, y: 2}")

    async with open_socket(client) as socket:
        await socket.subscribe("1", id=task_id, after=after)
        error = await socket.receive()

    assert (error["type"], codes(error["payload"])) == ("error", ["BAD_USER_INPUT"])


async def test_many_subscriptions_share_a_socket_and_complete_one_by_one(client, start_worker):
    start_worker("celery")
    tasks = [await client.enqueue("enqueueWait", f"{{seconds: {i / 10}}}") for i in range(10)]

    async with open_socket(client) as socket:
        for task_id in tasks:
            await socket.subscribe(task_id, id=task_id)
        messages = await socket.until_complete(*tasks)

    for task_id, told in messages.items():
        events = [message["payload"]["data"]["task"]["task"] for message in told[:-1]]
        assert {event["id"] for event in events} == {task_id}
        assert events[-1]["state"] == "SUCCEEDED"


async def test_a_client_may_leave_one_subscription_and_keep_the_other(client, start_worker):
    start_worker("celery")
    task_id = await client.enqueue("enqueueWait", "{seconds: 1}")

    async with open_socket(client) as socket:
        await socket.subscribe("left", id=task_id)
        await socket.receive()
        await socket.receive()  # behind the snapshot: it follows what comes
        await socket.send(id="left", type="complete")
        await socket.subscribe("other", "{ viewer { subject } }")
        await socket.until_complete("other")
        await socket.subscribe("kept", id=task_id)
        messages = await socket.until_complete("kept")

    assert set(messages) == {"kept"}
    assert messages["kept"][-2]["payload"]["data"]["task"]["task"]["state"] == "SUCCEEDED"


async def test_a_client_that_disconnects_frees_its_subscriptions(empty_redis, redis_url):
    read_before = histories_read(empty_redis)
    application = create_app(Settings(redis_url=redis_url.removesuffix("0") + "1"))

    async with serving(application) as client:
        task_id = await client.enqueue("enqueueAdd", "{x: 1, y: 2}")
        async with open_socket(client) as socket:
            for count in (1, 2):
                await socket.subscribe(str(count), id=task_id)
                await socket.receive()
                await until(lambda n=count: histories_read(empty_redis) == read_before + n)
            watched = watchers()
        await until(lambda: watchers() == 0)

    assert watched == 2


@asynccontextmanager
async def serving(application):
    """Run an API in this process."""
    port = reserve_port()
    server = Server(Config(application, port=port, log_level="warning"))
    running = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        yield Client(f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        await running


def histories_read(redis):
    """Count the reads that a subscription begins with; what it does after them is to wait."""
    return redis.info("commandstats").get("cmdstat_lrange", {"calls": 0})["calls"]


def watchers():
    """Count the subscribers that this process keeps events for."""
    return sum(type(found) is Watcher for found in gc.get_objects())


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # neither Redis, uvicorn nor gc has an event for it
            await asyncio.sleep(0.01)

"""An accepted task is returned over HTTP even if other fields of the response fail."""

from __future__ import annotations

import time

import httpx
import jwt
import pytest
from redis import Redis

from tests.client import Client
from tests.processes import Server, running_api, wait_until

pytestmark = pytest.mark.slow

SECRET = "a secret that is long enough for everyone"
ADD = """mutation { enqueueAdd(input: {x: 1, y: 2}) { ... on EnqueueAddSuccess {
  task { id state input { x } history { kind } } } } }"""
INPUT = "fragment input on AddTask { input { x } }"
WORKFLOW = (
    """mutation { enqueueWorkflow(input: {canvas: {group: [
  {step: {task: {add: {x: 1, y: 2}}}} {step: {task: {add: {x: 3, y: 4}}}}]}}) {
  ... on EnqueueWorkflowSuccess { task { id state counts { total } steps { key
    task { id ...input } } } } } }"""
    + INPUT
)
CANCEL = (
    """mutation($id: ID!) { cancelTask(id: $id) { ... on CancelTaskSuccess {
  canceled task { id state ...input } } } }"""
    + INPUT
)
BATCH = """mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) { __typename
  ... on EnqueueBatchSuccess { items { task { id %s } } } ... on Error { message } } }"""
MANY_FIELDS = " ".join(f"s{i}: state" for i in range(150))


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "redis")
    server.start()
    yield server
    server.close()


@pytest.fixture
def api(server, tmp_path):
    with running_api({"REDIS_URL": server.url}, tmp_path / "api.log") as url:
        yield Client(url)


def codes(answer: dict) -> dict[str, str]:
    return {
        ".".join(map(str, error["path"])): error["extensions"]["code"]
        for error in answer.get("errors", [])
    }


@pytest.fixture
def unreadable(server):
    """Make Redis refuse to read inputs and results, and nothing else."""
    with Redis.from_url(server.url, decode_responses=True) as redis:
        wait_until(redis.ping, "Redis")
        redis.execute_command("ACL", "SETUSER", "default", "-strlen")
        yield redis


async def test_without_the_read_scope_the_task_is_returned(server, tmp_path):
    claims = {"sub": "ann", "scope": "enqueue", "exp": time.time() + 60}
    headers = {"authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    settings = {"REDIS_URL": server.url, "AUTH_JWT_SECRET": SECRET}
    with running_api(settings, tmp_path / "api.log") as url:
        async with httpx.AsyncClient(base_url=url, headers=headers) as http:
            answer = (await http.post("/graphql", json={"query": ADD})).json()

    task = answer["data"]["enqueueAdd"]["task"]
    assert (task["state"], task["input"], task["history"]) == ("QUEUED", None, None)
    assert codes(answer) == dict.fromkeys(
        ("enqueueAdd.task.input", "enqueueAdd.task.history"), "FORBIDDEN"
    )
    assert server.messages() == 1


async def test_only_the_field_that_fails_is_null(server, api, unreadable):
    added = await api.answer(ADD)
    workflow = await api.answer(WORKFLOW)
    canceled = await api.answer(CANCEL, id=workflow["data"]["enqueueWorkflow"]["task"]["id"])
    task_id = added["data"]["enqueueAdd"]["task"]["id"]
    canceled_task = await api.answer(CANCEL, id=task_id)

    assert added["data"]["enqueueAdd"]["task"]["state"] == "QUEUED"
    assert codes(added) == {"enqueueAdd.task.input": "INTERNAL"}
    task = workflow["data"]["enqueueWorkflow"]["task"]
    assert (task["counts"], [step["task"]["input"] for step in task["steps"]]) == (
        {"total": 2}, [None, None],
    )  # fmt: skip
    assert canceled["data"]["cancelTask"]["task"] == {"id": task["id"], "state": "CANCELED"}
    assert canceled_task["data"]["cancelTask"] == {
        "canceled": 1, "task": {"id": task_id, "state": "CANCELED", "input": None},
    }  # fmt: skip
    assert codes(canceled_task) == {"cancelTask.task.input": "INTERNAL"}


async def test_a_batch_with_a_too_large_response_enqueues_nothing(server, api):
    tasks = [{"task": {"add": {"x": 1, "y": 2}}}] * 1_000

    refused = await api.answer(BATCH % MANY_FIELDS, tasks=tasks)
    accepted = await api.answer(BATCH % "state", tasks=tasks[:3])

    assert refused["data"]["enqueueBatch"]["__typename"] == "InvalidInput"
    assert "errors" not in refused
    assert len(accepted["data"]["enqueueBatch"]["items"]) == 3
    assert server.messages() == 3

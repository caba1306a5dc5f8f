"""Visibility of tasks: the tasks of another owner look as if they did not exist."""

from __future__ import annotations

import json
from functools import partial
from uuid import uuid4

import graphql
import pytest

from graphql_api.auth.viewer import Scope
from graphql_api.schema import build_schema
from tasks.arithmetic import add
from tests.operations import Operations

OPERATIONS = Operations(graphql.build_schema(build_schema().schema.as_str()))
FIELDS = [(kind, name) for kind, fields in OPERATIONS.roots.items() for name in fields]
MARK = "tag of ann"
ENQUEUE = """
mutation($key: String!, $x: Float!) {
  enqueueAdd(input: {x: $x, y: 0}, options: {idempotencyKey: $key}) {
    __typename ... on EnqueueAddSuccess { task { id } deduplicated }
  }
}
"""
RETRY = """
mutation($id: ID!) { retryTask(id: $id) { __typename ... on RetryTaskSuccess { task { id } } } }
"""
WORKER = {
    "online": "1", "pool": "solo", "concurrency": "1", "queues": '["celery"]', "processed": "3",
    "rss_bytes": "1000",
}  # fmt: skip


@pytest.fixture
async def owned(client_for, engine, report, empty_redis) -> list[str]:
    """Create tasks of Ann: an ended one and its retry, a running one, a workflow and its steps."""
    # The operations of these tests select all fields, which is above the limits.
    limits = dict.fromkeys(("max_tokens", "max_fields", "max_aliases"), 10**9)
    engine.settings = engine.settings.model_copy(update=limits)
    ann = client_for("ann")
    ended, running = await ann.add(MARK), await ann.add(MARK)
    report(add, ended, "STARTED")
    report(add, ended, "SUCCESS", 3.0)
    report(add, running, "STARTED")
    retried = (await ann.execute(RETRY, id=ended))["retryTask"]["task"]["id"]
    workflow, steps = await ann.chain()
    active = [running, workflow, *steps]
    now_ms = int(empty_redis.time()[0]) * 1_000
    worker = WORKER | {"seen_at": now_ms, "active": json.dumps(active)}
    empty_redis.hset("celeryql:worker:w", mapping=worker)
    empty_redis.zadd("celeryql:workers", {"w": now_ms})
    return [ended, retried, *active]


@pytest.mark.parametrize(("kind", "name"), FIELDS)
async def test_no_field_shows_a_task_of_another_owner(client_for, owned, kind, name):
    bob = client_for("bob")
    busy = partial(client_for("ann").add, MARK), bob.add
    names_a_task = "id" in OPERATIONS.roots[kind][name].args

    made_up = str(uuid4())
    other = await bob.full_answer(OPERATIONS.of(kind, name, made_up, depth=3), *busy)
    for task_id in owned if names_a_task else ["x"]:
        answer = await bob.full_answer(OPERATIONS.of(kind, name, task_id, depth=3), *busy)

        assert not names_a_task or answer.replace(task_id, made_up) == other
        assert MARK not in answer
        assert [id_ for id_ in owned if id_ != task_id and id_ in answer] == []


@pytest.mark.parametrize("who", ["ann", "an admin"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [("query", "task"), ("query", "node"), ("query", "tasks"), ("query", "workers")]
    + [("subscription", name) for name in ("task", "tasks", "cluster")],
)  # shows that the test above can fail
async def test_the_owner_and_an_admin_see_the_tasks(client_for, owned, who, kind, name):
    local_client = client_for("ann") if who == "ann" else client_for("eve", Scope.ADMIN)

    operation = OPERATIONS.of(kind, name, owned[0])
    answer = await local_client.full_answer(operation, partial(client_for("ann").add, MARK))

    assert MARK in answer


async def test_lists_do_not_include_the_tasks_of_another_owner(client_for, owned):
    bob = client_for("bob")

    data = await bob.execute(
        "query($ids: [ID!]) { all: tasks { nodes { id } pageInfo { hasNextPage endCursor } }"
        " some: tasks(filter: {ids: $ids}) { nodes { id } } }",
        ids=owned,
    )

    nothing = {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
    assert data == {"all": nothing, "some": {"nodes": []}}


async def test_each_owner_has_their_own_idempotency_keys(client_for):
    ann, bob = client_for("ann"), client_for("bob")

    answers = [(await d.execute(ENQUEUE, key="k", x=x)) for d, x in [(ann, 1), (bob, 1), (bob, 2)]]

    first, second, third = (answer["enqueueAdd"] for answer in answers)
    assert first["task"]["id"] != second["task"]["id"]
    assert not second["deduplicated"]
    assert third["__typename"] == "IdempotencyConflict"


async def test_a_task_that_an_admin_retries_keeps_its_owner(client_for, owned):
    ended, *_ = owned

    data = await client_for("eve", Scope.ADMIN).execute(RETRY, id=ended)

    query = "query($id: ID!) { task(id: $id) { retryOf { id } } }"
    seen = await client_for("ann").execute(query, id=data["retryTask"]["task"]["id"])
    assert seen["task"]["retryOf"]["id"] == ended


async def test_owners_with_similar_names_do_not_see_each_others_tasks(client_for):
    await client_for("ann").add()

    for name in ("ann:", ":ann", "Ann", "ann ", "an", "*"):
        data = await client_for(name).execute("{ tasks { nodes { id } } }")
        assert data["tasks"]["nodes"] == []

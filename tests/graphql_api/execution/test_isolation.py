"""Whose tasks are seen: a stranger is told of another's what is told of those that never were."""

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
async def owned(door_of, engine, report, empty_redis) -> list[str]:
    """Tasks of Ann: one that ended and its retry, one that runs, a workflow and its steps."""
    # All fields at once are more than one document may ask for.
    bounds = dict.fromkeys(("max_tokens", "max_fields", "max_aliases"), 10**9)
    engine.settings = engine.settings.model_copy(update=bounds)
    ann = door_of("ann")
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
async def test_no_field_tells_a_stranger_of_a_task(door_of, owned, kind, name):
    bob = door_of("bob")
    busy = partial(door_of("ann").add, MARK), bob.add
    names_a_task = "id" in OPERATIONS.roots[kind][name].args

    made_up = str(uuid4())
    other = await bob.tell(OPERATIONS.of(kind, name, made_up, depth=3), *busy)
    for task_id in owned if names_a_task else ["x"]:
        answer = await bob.tell(OPERATIONS.of(kind, name, task_id, depth=3), *busy)

        assert not names_a_task or answer.replace(task_id, made_up) == other
        assert MARK not in answer
        assert [id_ for id_ in owned if id_ != task_id and id_ in answer] == []


@pytest.mark.parametrize("who", ["ann", "an admin"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [("query", "task"), ("query", "node"), ("query", "tasks"), ("query", "workers")]
    + [("subscription", name) for name in ("task", "tasks", "cluster")],
)  # so that the test above is no empty one
async def test_the_owner_and_an_admin_are_told(door_of, owned, who, kind, name):
    door = door_of("ann") if who == "ann" else door_of("eve", Scope.ADMIN)

    operation = OPERATIONS.of(kind, name, owned[0])
    answer = await door.tell(operation, partial(door_of("ann").add, MARK))

    assert MARK in answer


async def test_what_a_stranger_lists_and_counts_is_empty(door_of, owned):
    bob = door_of("bob")

    data = await bob.execute(
        "query($ids: [ID!]) { all: tasks { nodes { id } pageInfo { hasNextPage endCursor } }"
        " some: tasks(filter: {ids: $ids}) { nodes { id } } }",
        ids=owned,
    )

    nothing = {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
    assert data == {"all": nothing, "some": {"nodes": []}}


async def test_everyone_has_idempotency_keys_of_their_own(door_of):
    ann, bob = door_of("ann"), door_of("bob")

    answers = [(await d.execute(ENQUEUE, key="k", x=x)) for d, x in [(ann, 1), (bob, 1), (bob, 2)]]

    first, second, third = (answer["enqueueAdd"] for answer in answers)
    assert first["task"]["id"] != second["task"]["id"]
    assert not second["deduplicated"]
    assert third["__typename"] == "IdempotencyConflict"


async def test_what_an_admin_retries_stays_its_owners(door_of, owned):
    ended, *_ = owned

    data = await door_of("eve", Scope.ADMIN).execute(RETRY, id=ended)

    query = "query($id: ID!) { task(id: $id) { retryOf { id } } }"
    seen = await door_of("ann").execute(query, id=data["retryTask"]["task"]["id"])
    assert seen["task"]["retryOf"]["id"] == ended


async def test_an_owner_whose_name_holds_anothers_is_a_stranger(door_of):
    await door_of("ann").add()

    for name in ("ann:", ":ann", "Ann", "ann ", "an", "*"):
        data = await door_of(name).execute("{ tasks { nodes { id } } }")
        assert data["tasks"]["nodes"] == []

"""The answer of a mutation always shows what was accepted, even if other fields fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_non_null_type,
)
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from celeryql.state.json_documents import JsonDocumentReader
from celeryql.state.store import Store
from graphql_api.auth.viewer import Scope
from graphql_api.local.redis_server import reserve_port
from graphql_api.schema import build_schema
from graphql_api.types.decorators import RequireScopes

CORE = build_schema().schema._schema
COUNTED = {"tags", "items"}  # lists whose size is limited before anything is accepted
ADD = """mutation { enqueueAdd(input: {x: 1, y: 2}) { ... on EnqueueAddSuccess { deduplicated
  task { id state %s } } } }"""
ECHO = "enqueueEcho(input: {message: $text}) { ... on EnqueueEchoSuccess { task { id %s } } }"
BATCH = """mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) { __typename
  ... on EnqueueBatchSuccess { items { index task { id %s } } }
  ... on InvalidInput { problems { path message } } } }"""
WORKFLOW = """mutation($canvas: CanvasInput!) { enqueueWorkflow(input: {canvas: $canvas}) {
  ... on EnqueueWorkflowSuccess { task { id %s } } } }"""
COUNT = "{ tasks(first: 100) { nodes { id } } }"
STEP = {"step": {"task": {"add": {"x": 1, "y": 2}}}}
MANY_FIELDS = " ".join(f"s{i}: state" for i in range(150))


def payload_types() -> list[GraphQLObjectType]:
    mutations = CORE.mutation_type.fields.values()
    unions = [get_named_type(field.type) for field in mutations]
    return [member for union in unions for member in union.types if "Success" in member.name]


def required_fields(
    type_: GraphQLObjectType | GraphQLInterfaceType, seen: set[str]
) -> Iterator[tuple[str, GraphQLField]]:
    """Walk the fields whose error would make the whole payload null."""
    if type_.name in seen:
        return
    seen.add(type_.name)
    for name, field in type_.fields.items():
        if is_non_null_type(field.type) or (type_.name, name) == ("BatchItem", "task"):
            yield f"{type_.name}.{name}", field
            below = get_named_type(field.type)
            if isinstance(below, GraphQLInterfaceType):
                for implementation in CORE.get_implementations(below).objects:
                    yield from required_fields(implementation, seen)
            elif isinstance(below, GraphQLObjectType):
                yield from required_fields(below, seen)


@pytest.mark.parametrize("payload", payload_types(), ids=lambda type_: type_.name)
def test_no_field_that_can_fail_makes_the_payload_null(payload):
    walked = dict(required_fields(payload, set()))
    definitions = {
        name: field.extensions["strawberry-definition"] for name, field in walked.items()
    }

    assert walked
    need_scopes = {
        name
        for name, d in definitions.items()
        if any(isinstance(e, RequireScopes) for e in d.extensions)
    }
    reads = {name for name, d in definitions.items() if d.is_async}
    lists = {
        name
        for name, field in walked.items()
        if is_list_type(get_nullable_type(field.type)) and name.rpartition(".")[2] not in COUNTED
    }
    assert (need_scopes, reads, lists - {"CreateTokenSuccess.scopes"}) == (set(), set(), set())


@pytest.mark.parametrize("name", CORE.mutation_type.fields)
def test_mutation_fields_are_nullable(name):
    assert not is_non_null_type(CORE.mutation_type.fields[name].type)


async def test_without_read_the_task_is_shown_without_its_input(client_for):
    local_client = client_for("ann", Scope.ENQUEUE)

    data, errors = await local_client.answer(
        ADD % "input { x } result history { kind } failure { type }"
    )

    task = data["enqueueAdd"]["task"]
    assert (task.pop("id") is not None, task.pop("state")) == (True, "QUEUED")
    assert task == {"input": None, "result": None, "history": None, "failure": None}
    assert errors == ["FORBIDDEN"] * 4


async def test_a_read_outage_hides_only_the_fields_that_are_read(local_client, engine):
    nowhere = f"redis://127.0.0.1:{reserve_port()}/0"
    reads = engine.store
    async with Redis.from_url(nowhere, retry=Retry(NoBackoff(), 0)) as dead:
        engine.store, engine.documents = Store(dead), JsonDocumentReader(dead)

        data, errors = await local_client.answer(ADD % "input { x } history { kind }")
        chained, chain_errors = await local_client.answer(
            WORKFLOW % "name steps { key } counts { total } output { id } progress { total }",
            canvas={"chain": [STEP]},
        )

    task, workflow = data["enqueueAdd"]["task"], chained["enqueueWorkflow"]["task"]
    assert (task["input"], task["history"], errors) == (None, None, ["UNAVAILABLE"] * 2)
    assert [name for name, value in workflow.items() if value is not None] == ["id"]
    assert chain_errors == ["UNAVAILABLE"] * 5
    assert await reads.get(task["id"])
    assert await reads.get(workflow["id"])


async def test_a_batch_whose_answer_would_be_too_large_is_refused_before_it_is_accepted(
    local_client,
):
    tasks = [{"task": {"add": {"x": 1, "y": 2}}}] * 1_000

    answer = await local_client.execute(BATCH % MANY_FIELDS, tasks=tasks)

    (problem,) = answer["enqueueBatch"]["problems"]
    assert problem == {
        "path": ["tasks"],
        "message": "The answer would hold more than 25,000 items: "
        "select less of each task, or split the batch",
    }
    assert await local_client.execute(COUNT) == {"tasks": {"nodes": []}}


async def test_a_whole_batch_of_many_fields_is_shown(local_client):
    tasks = [{"task": {"add": {"x": 1, "y": 2}}, "options": {"tags": ["a", "b"]}}] * 1_000

    answer = await local_client.execute(BATCH % "state version tags attempt createdAt", tasks=tasks)

    items = answer["enqueueBatch"]["items"]
    assert len({item["task"]["id"] for item in items}) == 1_000


async def test_tasks_of_a_batch_are_shown_even_if_their_inputs_do_not_fit(local_client):
    tasks = [{"task": {"echo": {"message": "x" * 5_000}}}] * 60
    twenty = " ".join(f"i{i}: input {{ message }}" for i in range(100))

    data, errors = await local_client.answer(BATCH % f"... on EchoTask {{ {twenty} }}", tasks=tasks)

    items = data["enqueueBatch"]["items"]
    assert all(item["task"]["id"] for item in items)
    assert set(errors) == {"BAD_USER_INPUT"}


async def test_a_large_answer_of_one_mutation_does_not_hide_the_next_task(local_client, engine):
    engine.settings = engine.settings.model_copy(update={"max_answer_items": 20})
    inputs = " ".join(f"i{i}: input {{ message }}" for i in range(10))
    first, second = ECHO % inputs, ECHO % "tags celeryState queue { name }"

    data, errors = await local_client.answer(
        f"mutation($text: String!) {{ a: {first} b: {second} }}", text="x" * 8_000
    )

    assert data["a"]["task"]["id"]
    assert None in data["a"]["task"].values()
    id_ = data["b"]["task"].pop("id")
    assert id_ != data["a"]["task"]["id"]
    assert data["b"]["task"] == {"tags": [], "celeryState": "PENDING", "queue": None}
    assert set(errors) == {"BAD_USER_INPUT"}


async def test_a_workflow_is_shown_even_if_its_steps_do_not_fit(local_client):
    fields = " ".join(f"s{i}: state" for i in range(180))

    data, errors = await local_client.answer(
        WORKFLOW % f"steps {{ key task {{ {fields} }} }}", canvas={"group": [STEP] * 900}
    )

    assert data["enqueueWorkflow"]["task"]["id"]
    assert data["enqueueWorkflow"]["task"]["steps"] is None
    assert set(errors) == {"BAD_USER_INPUT"}


async def test_a_cancellation_is_shown_if_nothing_still_runs(local_client, engine):
    task_id = await local_client.add()
    cancel = """mutation($id: ID!) { cancelTask(id: $id) { ... on CancelTaskSuccess {
      canceled task { id state } stillRunning { id } } } }"""

    data = await local_client.execute(cancel, id=task_id)

    assert data["cancelTask"] == {
        "canceled": 1, "task": {"id": task_id, "state": "CANCELED"}, "stillRunning": [],
    }  # fmt: skip

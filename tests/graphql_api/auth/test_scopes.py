"""What each scope allows, field by field, and how tokens limit access to tasks."""

from __future__ import annotations

import json
import re

import graphql
import pytest

from graphql_api.auth.viewer import Scope
from graphql_api.schema import build_schema
from tasks.arithmetic import add, mul
from tests.graphql_api.resolvers.test_subscriptions import WORKER
from tests.operations import Operations

SCHEMA = graphql.build_schema(build_schema().schema.as_str())
OPERATIONS = Operations(SCHEMA)
FIELDS = [(kind, name) for kind, fields in OPERATIONS.roots.items() for name in fields]
ENQUEUE, READ, CONTROL, CLUSTER, ADMIN = Scope
NEEDED = {
    "node": {READ}, "task": {READ}, "tasks": {READ}, "taskDefinitions": {READ},
    "queues": {CLUSTER}, "workers": {CLUSTER}, "cluster": {CLUSTER},
    "enqueueWorkflow": {ENQUEUE}, "enqueueBatch": {ENQUEUE},
    "cancelTask": {CONTROL}, "retryTask": {CONTROL, ENQUEUE},
    "viewer": set(), "createToken": {ENQUEUE},  # the scope of the token that the test creates
}  # fmt: skip
NEEDED_BELOW = {
    "failure": (READ, "failure { type }"),
    "history": (READ, "history { kind }"),
    "retryOf": (READ, "retryOf { id }"),
    "input": (READ, "input { x }"),
    "result": (READ, "result"),
    "depth": (CLUSTER, "queue { depth }"),
    "unacked": (CLUSTER, "queue { unacked }"),
    "oldestWaitingSeconds": (CLUSTER, "queue { oldestWaitingSeconds }"),
    "workers": (CLUSTER, "queue { workers { name } }"),
    "unserved": (CLUSTER, "definition { unserved }"),
}
SUCCESS = "fragment success on EnqueueAddSuccess { task { PATH } }"
WORKFLOW = "mutation { enqueueWorkflow(input: {canvas: {chain: [%s]}}) { __typename } }"
ADD, MUL = "{step: {task: {add: {x: 1, y: 2}}}}", "{step: {task: {mul: {y: 2}}}}"
LIST = "{ tasks { nodes { __typename id } } }"
CANCEL = "mutation($id: ID!) { cancelTask(id: $id) { __typename } }"
RETRY = "mutation($id: ID!) { retryTask(id: $id) { __typename ... on Error { message } } }"
KEYED = """
mutation { enqueue%s(input: {x: 1, y: 2}, options: {idempotencyKey: "key"}) {
  __typename ... on Error { message } ... on InvalidInput { problems { path } }
} }
"""
STEPS = """
query($id: ID!) { task(id: $id) { definition { name } workflow { id } history { task { id } }
  ... on Workflow { steps { task { id } } output { id } } } }
"""
EVENTS = 'subscription($id: ID!) { task(id: $id, after: "0-0") { task { id } workflow { id } } }'


async def is_forbidden(local_client, operation: str, *meanwhile) -> bool:
    (data, errors) = json.loads(await local_client.full_answer(operation, *meanwhile))
    members = [v.get("__typename") for v in (data or {}).values() if isinstance(v, dict)]
    codes = {code for _, code in errors}
    assert codes <= {"FORBIDDEN", "NOT_FOUND"}, errors
    return "FORBIDDEN" in codes or "Forbidden" in members


async def ids(local_client) -> set[str]:
    return {node["id"] for node in (await local_client.execute(LIST))["tasks"]["nodes"]}


@pytest.mark.parametrize(("kind", "name"), FIELDS)
async def test_each_field_needs_its_scopes_and_no_others(client_for, kind, name):
    needed = {ENQUEUE} if kind == "mutation" and name not in NEEDED else NEEDED[name]
    operation = OPERATIONS.of(kind, name, "x", depth=0)

    for scope in needed:
        assert await is_forbidden(client_for("ann", *(set(Scope) - {scope, ADMIN})), operation)
    for scopes in (needed, {ADMIN}):
        local_client = client_for("ann", scopes=frozenset(scopes))
        assert await is_forbidden(local_client, operation, client_for("ann").add) is False
    without_scopes = client_for("ann", scopes=frozenset())
    assert await is_forbidden(without_scopes, operation) is bool(needed)


@pytest.mark.parametrize("name", NEEDED_BELOW)
async def test_a_field_below_a_task_needs_its_scope_in_every_operation(client_for, name):
    needed, path = NEEDED_BELOW[name]
    operation = f"mutation {{ enqueueAdd(input: {{x: 1, y: 2}}) {{ ...success }} }} {SUCCESS}"
    operation = operation.replace("PATH", path)

    assert await is_forbidden(client_for("ann", ENQUEUE), operation)
    assert await is_forbidden(client_for("ann", ENQUEUE, needed), operation) is False


async def test_the_active_tasks_of_a_worker_need_read(client_for, empty_redis):
    operation = "{ workers { active { id } } }"
    now_ms = int(empty_redis.time()[0]) * 1_000
    empty_redis.hset("celeryql:worker:w", mapping=WORKER | {"seen_at": now_ms})
    empty_redis.zadd("celeryql:workers", {"w": now_ms})

    assert await is_forbidden(client_for("ann", CLUSTER), operation)
    assert await is_forbidden(client_for("ann", CLUSTER, READ), operation) is False


def test_every_field_whose_description_names_a_scope_is_tested():
    needed = {
        (name, text[1])
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, graphql.GraphQLObjectType)
        if type_.name not in ("Query", "Mutation", "Subscription")
        for name, field in type_.fields.items()
        if (text := re.search(r"Needs (\w+)\.$", field.description or ""))
    }

    tested = {(name, scope.name) for name, (scope, _) in NEEDED_BELOW.items()}
    assert needed == tested | {("active", "READ")}


@pytest.mark.parametrize(
    ("id_", "needed"),
    [("queue:celery", CLUSTER), ("worker:w", CLUSTER), ("definition:add", READ), ("x", READ)],
)
async def test_a_node_needs_the_scope_of_its_kind(client_for, id_, needed):
    operation = f'{{ node(id: "{id_}") {{ __typename }} }}'

    assert await is_forbidden(client_for("ann", needed), operation) is False
    for scope in set(Scope) - {needed, ADMIN}:
        assert await is_forbidden(client_for("ann", scope), operation)


async def test_a_top_level_error_names_the_scope(client_for):
    answer = await client_for("ann", READ).full_answer("{ queues { name } }")

    message = "This needs the scope CLUSTER, which your token lacks"
    assert json.loads(answer)[1] == [[message, "FORBIDDEN"]]


async def test_a_forbidden_retry_names_the_missing_scope(client_for):
    operation = 'mutation { retryTask(id: "x") { ... on Forbidden { missing } } }'

    assert await client_for("a", CONTROL).execute(operation) == {
        "retryTask": {"missing": "ENQUEUE"}
    }
    assert await client_for("a", ENQUEUE).execute(operation) == {
        "retryTask": {"missing": "CONTROL"}
    }


async def test_a_token_limited_to_definitions_sees_only_their_tasks(client_for):
    ann = client_for("ann")
    single, (workflow, steps) = await ann.add(), await ann.chain()
    limited = client_for("ann", definitions=frozenset({"mul", "workflow"}))

    tasks = {
        id_: (await limited.execute(STEPS, id=id_))["task"] for id_ in (single, workflow, *steps)
    }

    mul_step = {"id": steps[2]}
    assert await ids(limited) == {workflow, steps[2]}
    assert [id_ for id_, task in tasks.items() if task] == [workflow, steps[2]]
    assert tasks[workflow]["steps"] == [{"task": mul_step}]
    assert {event["task"]["id"] for event in tasks[workflow]["history"]} <= {workflow, steps[2]}
    assert (await limited.execute(CANCEL, id=single))["cancelTask"]["__typename"] == "NotFound"


async def test_events_of_steps_outside_a_tokens_definitions_are_left_out(client_for, report):
    ann = client_for("ann")
    workflow, (first, second, last) = await ann.chain()
    for task, step in ((add, first), (add, second), (mul, last)):
        report(task, step, "STARTED")
        report(task, step, "SUCCESS", 3.0)
    limited = client_for("ann", definitions=frozenset({"mul", "workflow"}))

    events = [event async for event in limited.subscribe(EVENTS, id=workflow)]

    assert {event["task"]["id"] for event in events} == {workflow, last}


@pytest.mark.parametrize(
    ("operation", "allowed"),
    [
        ("mutation { enqueueAdd(input: {x: 1, y: 2}) { __typename } }", {"add"}),
        (WORKFLOW % ADD, {"add", "workflow"}),
        (WORKFLOW % f"{ADD} {MUL}", {"add", "mul", "workflow"}),
    ],
)
async def test_a_token_limited_to_definitions_enqueues_only_their_tasks(
    client_for, operation, allowed
):
    for name in allowed:
        limited = client_for("ann", definitions=frozenset({"echo", *allowed} - {name}))
        assert await is_forbidden(limited, operation)
    assert await is_forbidden(client_for("a", definitions=frozenset(allowed)), operation) is False


async def test_items_of_a_batch_are_forbidden_one_by_one(client_for):
    limited = client_for("ann", definitions=frozenset({"mul"}))

    data = await limited.execute(
        "mutation { enqueueBatch(tasks: [{task: {add: {x: 1, y: 2}}}, {task: {mul: {x: 1, y: 2}}}])"
        " { ... on EnqueueBatchSuccess { items { task { id } error { __typename message } } } } }"
    )

    first, second = data["enqueueBatch"]["items"]
    message = "This token may not enqueue 'add'"
    assert first == {"task": None, "error": {"__typename": "Forbidden", "message": message}}
    assert second["task"]
    assert len(await ids(client_for("ann"))) == 1


async def test_retrying_a_workflow_needs_permission_for_all_of_its_steps(client_for, report):
    workflow, _ = await client_for("ann").chain()
    await client_for("ann").execute(CANCEL, id=workflow)
    limited = client_for("ann", definitions=frozenset({"add", "workflow"}))
    free = client_for("ann", definitions=frozenset({"add", "mul", "workflow"}))

    answers = [
        (await local_client.execute(RETRY, id=workflow))["retryTask"]
        for local_client in (limited, free)
    ]

    message = "This token may not enqueue 'mul'"
    assert answers == [
        {"__typename": "Forbidden", "message": message}, {"__typename": "RetryTaskSuccess"},
    ]  # fmt: skip


async def test_an_idempotency_key_of_a_hidden_task_does_not_reveal_the_task(client_for):
    await client_for("ann").execute(KEYED % "Mul")
    limited = client_for("ann", definitions=frozenset({"add"}))

    answer = (await limited.execute(KEYED % "Add"))["enqueueAdd"]

    assert answer == {
        "__typename": "InvalidInput",
        "message": "Invalid input: options.idempotencyKey: This idempotency key is already in use: "
        "choose another",
        "problems": [{"path": ["options", "idempotencyKey"]}],
    }


async def test_an_idempotency_key_of_a_hidden_task_is_refused_at_its_path(client_for):
    await client_for("ann").execute(KEYED % "Mul")
    limited = client_for("ann", definitions=frozenset({"add"}))
    ended = await limited.add()
    await limited.execute(CANCEL, id=ended)
    again = f'retryTask(id: "{ended}", idempotencyKey: "key")'
    batch = 'enqueueBatch(tasks: [{task: {add: {x: 1, y: 2}}, options: {idempotencyKey: "key"}}])'
    answer = "... on InvalidInput { problems { path } }"

    data = await limited.execute(
        f"mutation {{ {again} {{ {answer} }} {batch} {{ ... on EnqueueBatchSuccess {{"
        f" items {{ error {{ {answer} }} }} }} }} }}"
    )

    assert data["retryTask"] == {"problems": [{"path": ["idempotencyKey"]}]}
    assert data["enqueueBatch"]["items"][0]["error"] == {
        "problems": [{"path": ["tasks", "0", "options", "idempotencyKey"]}]
    }


async def test_a_token_limited_to_tasks_sees_them_and_their_steps(client_for):
    ann = client_for("ann")
    single, (workflow, steps), _ = await ann.add(), await ann.chain(), await ann.add()

    assert await ids(client_for("ann", task_ids=frozenset({single}))) == {single}
    assert await ids(client_for("ann", task_ids=frozenset({workflow}))) == {workflow, *steps}
    assert await ids(client_for("ann", task_ids=frozenset({steps[0]}))) == {steps[0]}
    assert await ids(client_for("bob", task_ids=frozenset({single, workflow}))) == set()
    step = await client_for("ann", task_ids=frozenset({steps[0]})).execute(STEPS, id=steps[0])
    assert step["task"]["workflow"] is None


async def test_a_token_limited_to_tasks_can_cancel_but_not_enqueue(client_for):
    ann = client_for("ann")
    single, other = await ann.add(), await ann.add()

    for scopes in [(), (ADMIN,)]:
        limited = client_for("ann", *scopes, task_ids=frozenset({single}))
        for name in ("enqueueAdd", "enqueueWorkflow", "enqueueBatch", "retryTask"):
            assert await is_forbidden(limited, OPERATIONS.of("mutation", name, single, depth=0))
        assert (await limited.execute(CANCEL, id=other))["cancelTask"]["__typename"] == "NotFound"
    success = {"cancelTask": {"__typename": "CancelTaskSuccess"}}
    assert await limited.execute(CANCEL, id=single) == success


async def test_the_stream_of_all_events_respects_the_limits_of_a_token(client_for):
    ann = client_for("ann")
    before = (await ann.execute("{ tasks { cursor } }"))["tasks"]["cursor"]
    wanted, _, (workflow, steps) = await ann.add(), await ann.add(), await ann.chain()
    query = "subscription($after: EventCursor) { tasks(after: $after) { task { id } } }"

    limited = client_for("ann", task_ids=frozenset({wanted, workflow}))
    events = await limited.take(5, query, after=before)

    assert {event["task"]["id"] for event in events} == {wanted, workflow, *steps}

"""GraphQL over HTTP: errors, options and idempotency keys."""

from __future__ import annotations

import asyncio
import json

import pytest
from redis import Redis

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
async def test_an_operation_that_does_not_match_the_schema_is_bad_user_input(client, operation):
    answer = await client.answer(operation)

    assert answer["data"] is None
    assert codes(answer["errors"]) == ["BAD_USER_INPUT"]


async def test_a_task_that_was_never_accepted_is_null(client):
    assert await client.execute('{ task(id: "never") { id } }') == {"task": None}


async def test_an_unexpected_error_is_masked_and_logged(client, redis_url, logs):
    task_id = await client.enqueue("echo", message="x")
    with Redis.from_url(redis_url) as redis:
        redis.set(f"celeryql:input:{task_id}", "hunter2")  # not JSON
    query = "query($id: ID!) { task(id: $id) { ... on EchoTask { input { message } } } }"

    answer = await client.answer(query, id=task_id)

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["message"].startswith("Internal error. ")
    assert "hunter2" not in json.dumps(answer)
    assert error["message"].split()[-1] in (logs / "api.log").read_text()


async def test_a_problem_has_its_path_in_camel_case(client):
    mail = {
        "to": ["ann@example.org", "bob"], "cc": ["cy"], "replyTo": "di\n", "subject": "a\nb",
        "text": "Hello",
    }  # fmt: skip

    data = await client.execute(MAIL, input=mail)

    assert [problem["path"] for problem in data["enqueueSendEmail"]["problems"]] == [
        ["input", "to", "1"], ["input", "subject"], ["input", "cc", "0"], ["input", "replyTo"],
    ]  # fmt: skip


async def test_a_problem_of_a_step_has_its_path_in_the_canvas(client):
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
async def test_options_have_limits(client, options, path):
    data = await client.execute(ADD, x=1, options=options)

    assert [problem["path"] for problem in data["enqueueAdd"]["problems"]] == [path]


async def test_the_same_key_and_input_return_the_first_task(client):
    first = (await client.execute(ADD, x=1, options={"idempotencyKey": "same"}))["enqueueAdd"]
    again = (await client.execute(ADD, x=1, options={"idempotencyKey": "same"}))["enqueueAdd"]

    assert (first["deduplicated"], again["deduplicated"]) == (False, True)
    assert first["task"] == again["task"]


async def test_the_same_key_with_another_input_is_a_conflict(client):
    first = await client.execute(ADD, x=1, options={"idempotencyKey": "other"})
    second = await client.execute(ADD, x=2, options={"idempotencyKey": "other"})

    assert second["enqueueAdd"]["__typename"] == "IdempotencyConflict"
    assert second["enqueueAdd"]["existing"] == first["enqueueAdd"]["task"]


async def test_twenty_concurrent_requests_with_one_key_create_one_task(client):
    options = {"idempotencyKey": "twenty", "tags": ["twenty"]}

    answers = await asyncio.gather(*[client.execute(ADD, x=1, options=options) for _ in range(20)])
    data = await client.execute('{ tasks(filter: {tags: ["twenty"]}) { nodes { id } } }')

    assert [a["enqueueAdd"]["deduplicated"] for a in answers].count(False) == 1
    assert [{"id": a["enqueueAdd"]["task"]["id"]} for a in answers] == data["tasks"]["nodes"] * 20

"""Batches: many independent tasks in one request, each accepted or refused on its own."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

BATCH = """
mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) {
  __typename
  ... on EnqueueBatchSuccess { cursor items { index deduplicated task { id state priority tags }
    error { __typename message ... on InvalidInput { problems { path message } }
            ... on IdempotencyConflict { existing { id } } } } }
  ... on InvalidInput { problems { path message } }
} }
"""


async def test_each_item_is_accepted_or_refused_on_its_own(client, workers):
    add = {"add": {"x": 1, "y": 2}}
    tasks = [
        {"task": add, "options": {"priority": "HIGH", "tags": ["batch"]}},
        {"task": {"add": {"x": 1}}},
        {"task": {"echo": {"message": "x" * 9_000}}},
        {"task": add, "options": {"idempotencyKey": "batch-key"}},
        {"task": add, "options": {"idempotencyKey": "batch-key"}},
        {"task": {"add": {"x": 1, "y": 3}}, "options": {"idempotencyKey": "batch-key"}},
        {"task": add, "options": {"maxAttempts": 0}},
        {"task": {"sendEmail": {"to": ["ann"], "subject": "Hello", "text": "..."}}},
    ]

    answer = (await client.execute(BATCH, tasks=tasks))["enqueueBatch"]

    items = answer["items"]
    assert [item["index"] for item in items] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [item["error"] and item["error"]["__typename"] for item in items] == [
        None, "InvalidInput", "InvalidInput", None, None, "IdempotencyConflict", "InvalidInput",
        "InvalidInput",
    ]  # fmt: skip
    assert (items[0]["task"]["priority"], items[0]["task"]["tags"]) == ("HIGH", ["batch"])
    assert items[1]["error"]["problems"][0]["path"] == ["tasks", "1", "task", "add", "y"]
    assert [item["deduplicated"] for item in items] == [False] * 4 + [True] + [False] * 3
    assert items[3]["task"]["id"] == items[4]["task"]["id"]
    assert items[5]["error"]["existing"]["id"] == items[3]["task"]["id"]
    assert items[6]["error"]["problems"][0]["path"] == ["tasks", "6", "options", "maxAttempts"]
    assert items[7]["error"]["problems"][0]["path"] == [
        "tasks",
        "7",
        "task",
        "sendEmail",
        "to",
        "0",
    ]
    watch = "subscription($id: ID!) { task(id: $id) { task { state } } }"
    for accepted in (0, 3):
        events = await client.events(watch, id=items[accepted]["task"]["id"])
        assert events[-1]["task"]["state"] == "SUCCEEDED"


async def test_a_batch_of_the_largest_size_is_accepted(client, workers):
    tasks = [{"task": {"add": {"x": i, "y": 0}}} for i in range(1_000)]

    answer = (await client.execute(BATCH, tasks=tasks))["enqueueBatch"]

    assert [item["index"] for item in answer["items"]] == list(range(1_000))
    assert len({item["task"]["id"] for item in answer["items"]}) == 1_000


async def test_an_item_that_is_not_exactly_one_task_is_refused_on_its_own(client):
    add = {"add": {"x": 1, "y": 2}}
    tasks = [
        {"task": add},
        {"task": {}},
        {"task": {"add": None}},
        {"task": add | {"mul": {"x": 1, "y": 2}}},
        {"task": add, "options": {"start": {}}},
        {"task": add, "options": {"start": {"at": None}}},
        {"task": add, "options": {"start": {"at": "2026-01-01T00:00:00Z", "inSeconds": 1}}},
        {"task": add, "options": {"start": {"inSeconds": 0}}},
    ]

    items = (await client.execute(BATCH, tasks=tasks))["enqueueBatch"]["items"]

    assert [item["task"] is not None for item in items] == [True] + [False] * 6 + [True]
    problems = [problem for item in items[1:7] for problem in item["error"]["problems"]]
    assert [".".join(problem["path"]) for problem in problems] == [
        "tasks.1.task", "tasks.2.task", "tasks.3.task",
        "tasks.4.options.start", "tasks.5.options.start", "tasks.6.options.start",
    ]  # fmt: skip
    assert {problem["message"] for problem in problems} == {
        "Exactly one field must be given, and it must not be null"
    }


async def test_an_item_that_expires_before_its_start_is_refused_on_its_own(client):
    add = {"add": {"x": 1, "y": 2}}
    tasks = [
        {"task": add, "options": {"start": {"inSeconds": 60}, "expiresInSeconds": 60}},
        {"task": add, "options": {"start": {"inSeconds": 60}, "expiresInSeconds": 60.001}},
    ]

    refused, accepted = (await client.execute(BATCH, tasks=tasks))["enqueueBatch"]["items"]

    (problem,) = refused["error"]["problems"]
    assert problem["path"] == ["tasks", "0", "options", "expiresInSeconds"]
    assert accepted["task"]["state"] == "SCHEDULED"


@pytest.mark.parametrize("n", [0, 1_001])
async def test_a_batch_with_no_tasks_or_too_many_is_refused(client, n):
    tasks = [{"task": {"add": {"x": 1, "y": 0}}}] * n

    answer = (await client.execute(BATCH, tasks=tasks))["enqueueBatch"]

    assert answer["__typename"] == "InvalidInput"
    assert answer["problems"][0]["message"] == f"A batch has 1 to 1,000 tasks, not {n}"


async def test_a_lone_surrogate_refuses_only_its_own_item(client):
    tasks = [{"task": {"echo": {"message": message}}} for message in ("a\udc80", "whole")]

    items = (await client.execute(BATCH, tasks=tasks))["enqueueBatch"]["items"]

    assert [item["error"] and item["error"]["__typename"] for item in items] == [
        "InvalidInput", None,
    ]  # fmt: skip

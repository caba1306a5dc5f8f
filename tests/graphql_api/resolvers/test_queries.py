"""Nodes by id."""

from __future__ import annotations

import pytest

NODE = """
query Node($id: ID!) { node(id: $id) {
  __typename id
  ... on Queue { queue: name definitions { name } } ... on TaskDefinition { definition: name field }
  ... on Worker { worker: name } ... on AddTask { state }
} }
"""


async def test_a_task_is_a_node(api):
    (added,) = await api.add()

    assert (await api.execute(NODE, id=added))["node"] == {
        "__typename": "AddTask", "id": added, "state": "QUEUED",
    }  # fmt: skip


async def test_queues_and_definitions_are_nodes(api):
    assert (await api.execute(NODE, id="queue:email_service"))["node"] == {
        "__typename": "Queue", "id": "queue:email_service", "queue": "email_service",
        "definitions": [{"name": "send_email"}],
    }  # fmt: skip
    assert (await api.execute(NODE, id="definition:detect_spam"))["node"] == {
        "__typename": "TaskDefinition", "id": "definition:detect_spam",
        "definition": "detect_spam", "field": "enqueueDetectSpam",
    }  # fmt: skip


@pytest.mark.parametrize(
    "id_", ["", "nope", "queue:nope", "definition:nope", "worker:nope", "worker:", "zoo:ape"]
)
async def test_a_node_that_does_not_exist_is_null(api, id_):
    assert await api.execute(NODE, id=id_) == {"node": None}


@pytest.mark.parametrize("id_", ["\ud800", "queue:\ud800", "worker:\ud800", "definition:\ud800"])
async def test_an_id_that_is_not_valid_text_is_null(api, id_):
    assert await api.execute(NODE, id=id_) == {"node": None}
    assert await api.execute("query($id: ID!) { task(id: $id) { id } }", id=id_) == {"task": None}


@pytest.mark.slow
async def test_a_worker_is_a_node(client, start_worker):
    start_worker("celery")
    data = await client.execute("{ workers { id name } }")
    (worker,) = [w for w in data["workers"] if w["name"].startswith("celery@")]

    node = (await client.execute(NODE, id=worker["id"]))["node"]

    assert worker["id"] == f"worker:{worker['name']}"
    assert node == {"__typename": "Worker", "id": worker["id"], "worker": worker["name"]}

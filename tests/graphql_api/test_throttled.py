"""What is answered where too much was enqueued already."""

from __future__ import annotations

import pytest

from graphql_api.viewer import Viewer
from tasks.engine.celery_app import definitions
from tasks.engine.engine import Engine
from tasks.engine.settings import Settings
from tests.graphql_api.conftest import Door

ADD = (
    "enqueueAdd(input: {x: 1, y: 2}) { __typename ... on Throttled { message retryAfterSeconds } }"
)
STEP = "{step: {task: {add: {x: 1, y: 2}}}}"
WORKFLOW = (
    f"enqueueWorkflow(input: {{canvas: {{group: [{STEP}, {STEP}]}}}})"
    " { __typename ... on Throttled { retryAfterSeconds } }"
)
ITEM = "{task: {add: {x: 1, y: 2}}}"
BATCH = (
    f"enqueueBatch(tasks: [{ITEM}, {ITEM}]) {{ ... on EnqueueBatchSuccess {{"
    " items { task { id } error { __typename ... on Throttled { retryAfterSeconds } } } } }"
)


@pytest.fixture
async def slow(url):
    """A door through which one task comes, and another after ten seconds."""
    settings = Settings(redis_url=url, enqueue_rate=0.1, enqueue_burst=1)
    async with Engine(settings, definitions()) as engine:
        yield Door(engine, Viewer())


async def test_who_enqueues_too_much_is_told_when_to_come_again(slow):
    first = await slow.execute(f"mutation {{ {ADD} }}")
    second = (await slow.execute(f"mutation {{ {ADD} }}"))["enqueueAdd"]
    workflow = (await slow.execute(f"mutation {{ {WORKFLOW} }}"))["enqueueWorkflow"]

    assert first["enqueueAdd"] == {"__typename": "EnqueueAddSuccess"}
    assert second["__typename"] == workflow["__typename"] == "Throttled"
    assert 9 < second["retryAfterSeconds"] <= 10
    assert second["message"].startswith("Too many tasks were enqueued of late: try again in ")


async def test_of_a_batch_what_fits_is_accepted(slow):
    batch = (await slow.execute(f"mutation {{ {BATCH} }}"))["enqueueBatch"]
    accepted, refused = batch["items"]

    assert accepted["task"]
    assert accepted["error"] is None
    assert refused["task"] is None
    assert refused["error"]["__typename"] == "Throttled"

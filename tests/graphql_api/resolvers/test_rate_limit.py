"""The enqueue rate: when clients are throttled, and what counts against it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from celeryql.adopt.exposed_tasks import exposed_tasks, queue_names
from celeryql.engine import Engine
from celeryql.errors import InvalidInput
from celeryql.settings import Settings
from graphql_api.auth.viewer import Viewer
from graphql_api.execution.input_validation import validate_in_time
from tasks.celery_app import app
from tests.graphql_api.conftest import LocalClient

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
    """An API that accepts one task, and the next after ten seconds."""
    settings = Settings(redis_url=url, enqueue_rate=0.1, enqueue_burst=1)
    async with Engine(settings, exposed_tasks(app), queue_names(app)) as engine:
        yield LocalClient(engine, Viewer())


async def test_a_throttled_client_is_told_when_to_try_again(slow):
    first = await slow.execute(f"mutation {{ {ADD} }}")
    second = (await slow.execute(f"mutation {{ {ADD} }}"))["enqueueAdd"]
    workflow = (await slow.execute(f"mutation {{ {WORKFLOW} }}"))["enqueueWorkflow"]

    assert first["enqueueAdd"] == {"__typename": "EnqueueAddSuccess"}
    assert second["__typename"] == workflow["__typename"] == "Throttled"
    assert 9 < second["retryAfterSeconds"] <= 10
    assert second["message"].startswith("Too many tasks were enqueued recently: try again in ")


async def test_the_part_of_a_batch_within_the_rate_is_accepted(slow):
    batch = (await slow.execute(f"mutation {{ {BATCH} }}"))["enqueueBatch"]
    accepted, refused = batch["items"]

    assert accepted["task"]
    assert accepted["error"] is None
    assert refused["task"] is None
    assert refused["error"]["__typename"] == "Throttled"


WRONG = {
    "enqueueWait": "enqueueWait(input: {seconds: -1})",
    "enqueueWorkflow": "enqueueWorkflow(input: {canvas: {chain: []}})",
    "enqueueBatch": "enqueueBatch(tasks: [])",
    "enqueueEcho": 'enqueueEcho(input: {message: ""}, options: {maxAttempts: 0})',
}


@pytest.mark.parametrize(("name", "mutation"), WRONG.items())
async def test_refused_input_counts_as_much_as_a_task(slow, name, mutation):
    answers = [
        (await slow.execute(f"mutation {{ {mutation} {{ __typename }} }}"))[name] for _ in range(3)
    ]
    good = (await slow.execute(f"mutation {{ {ADD} }}"))["enqueueAdd"]

    assert [answer["__typename"] for answer in answers] == ["InvalidInput"] + ["Throttled"] * 2
    assert good["__typename"] == "Throttled"
    assert 8 < good["retryAfterSeconds"] <= 10


async def test_refused_batch_items_count_as_much_as_tasks(slow):
    wrong = BATCH.replace("add: {x: 1, y: 2}", "wait: {seconds: -1}")
    batch = (await slow.execute(f"mutation {{ {wrong} }}"))["enqueueBatch"]
    good = (await slow.execute(f"mutation {{ {ADD} }}"))["enqueueAdd"]

    assert [item["error"]["__typename"] for item in batch["items"]] == ["InvalidInput"] * 2
    assert good["__typename"] == "Throttled"
    assert 18 < good["retryAfterSeconds"] <= 20


async def test_another_owner_does_not_wait_for_refused_input(slow, url):
    await slow.execute(f"mutation {{ {WRONG['enqueueWait']} {{ __typename }} }}")
    async with Engine(Settings(redis_url=url), exposed_tasks(app), queue_names(app)) as engine:
        other = await LocalClient(engine, Viewer("bob")).execute(f"mutation {{ {ADD} }}")

    assert other["enqueueAdd"]["__typename"] == "EnqueueAddSuccess"


@pytest.mark.alone
async def test_the_input_of_an_operation_must_be_validated_in_time():
    info = SimpleNamespace(context=SimpleNamespace(input_weight=1_000, input_check_s=4.9))
    began = time.monotonic()
    with pytest.raises(InvalidInput, match="Validation took longer than 5 s"):
        await validate_in_time(info, lambda: time.sleep(0.4))

    assert time.monotonic() - began < 0.3
    assert info.context.input_check_s > 5


async def test_invalid_input_is_reported_even_without_redis():
    async with Engine(
        Settings(redis_url="redis://127.0.0.1:1/0"), exposed_tasks(app), queue_names(app)
    ) as engine:
        mutation = "enqueueWait(input: {seconds: -1}) { __typename }"
        answers = await LocalClient(engine, Viewer()).execute(
            f"mutation {{ a: {mutation} b: {mutation} }}"
        )

    assert answers == {"a": {"__typename": "InvalidInput"}, "b": {"__typename": "Unavailable"}}

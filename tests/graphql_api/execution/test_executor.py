"""Execution: limits on the size of an answer and its errors, and no leak of events."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import aclosing

import pytest
from graphql.execution.collect_fields import FieldDetails

from graphql_api.api_errors import ErrorCode
from tasks.arithmetic import add

WATCH = "subscription($id: ID!) { task(id: $id) { kind task { id state version } } }"


def count_field_details() -> int:
    gc.collect()
    return sum(type(found) is FieldDetails for found in gc.get_objects())


async def test_a_subscription_does_not_leak_memory_with_each_event(local_client, report):
    task_id = await local_client.add()
    async with aclosing(local_client.subscribe(WATCH, id=task_id)) as events:
        for _ in range(5):
            await anext(events)
            report(add, task_id, "RETRY", ValueError("again"))
        before = count_field_details()
        for _ in range(100):
            await anext(events)
            report(add, task_id, "RETRY", ValueError("again"))

        assert count_field_details() - before < 50


FAILING = " ".join(f"a{i}: history(first: 0) {{ kind }}" for i in range(189))
TWICE = "history(first: 0) { kind } " * 2


async def longest_wait(until: asyncio.Event) -> float:
    """Measure the longest time for which another coroutine had to wait."""
    longest_s = 0.0
    while not until.is_set():
        began = time.monotonic()
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.monotonic() - began)
    return longest_s


@pytest.mark.alone
async def test_thousands_of_errors_do_not_block_other_operations(local_client):
    for _ in range(100):
        await local_client.add()
    ended = asyncio.Event()
    waiting = asyncio.create_task(longest_wait(ended))
    began = time.process_time()

    lines = "\n" * 4_900
    result = await local_client.run(
        f"{lines}{{ tasks(first: 100) {{ nodes {{ id {FAILING} }} }} }}"
    )

    took_s = time.process_time() - began
    ended.set()
    nodes = result.data["tasks"]["nodes"]
    assert all(node.pop("id") for node in nodes)
    assert nodes == [dict.fromkeys(f"a{i}" for i in range(189))] * 100
    assert len(result.errors) == 101
    assert (
        result.errors[-1].message == "18,800 more errors are left out: select fewer fields or items"
    )
    assert await waiting < 1, "once, it blocked others for 12 s"
    assert took_s < 5


async def test_the_error_of_a_repeated_field_has_one_location(local_client):
    task_id = await local_client.add()

    result = await local_client.run(f'{{ task(id: "{task_id}") {{ {TWICE} }} }}')

    (error,) = result.errors
    assert len(error.locations) == 1


async def test_an_event_with_too_many_errors_keeps_its_data(local_client):
    task_id = await local_client.add()
    watch = f"subscription($id: ID!) {{ task(id: $id) {{ kind task {{ id {FAILING} }} }} }}"

    source = await local_client._api.schema.stream(watch, {"id": task_id}, local_client.context)
    async with aclosing(source):
        event = await anext(source)

    assert event.data["task"]["task"]["id"] == task_id
    assert len(event.errors) == 101


async def test_nested_lists_are_counted_before_they_are_completed(local_client):
    cycle = "{ definitions { queue" * 9 + " { name } " + "}}" * 9
    result = await local_client.run(f"{{ queues {cycle} }}")

    assert {error.extensions["code"] for error in result.errors} == {ErrorCode.BAD_USER_INPUT}
    assert "more than 25,000 items" in result.errors[0].message


async def test_the_fields_of_an_answer_are_counted(local_client):
    names = " ".join(f"a{i}: name" for i in range(190))
    cycle = "{ queue { definitions " * 3
    began = time.process_time()
    result = await local_client.run(f"{{ taskDefinitions {cycle} {{ {names} }} {'}' * 7}")

    assert "more than 25,000 items" in result.errors[0].message
    assert time.process_time() - began < 5, "the whole answer would take half a minute"


async def test_the_length_of_texts_is_counted(local_client, engine):
    data = await local_client.execute(
        "mutation($text: String!) { enqueueEcho(input: {message: $text}) {"
        " ... on EnqueueEchoSuccess { task { input { message } } } } }",
        text="x" * 8_000,
    )
    again = " ".join(f"a{i}: message" for i in range(150))
    engine.settings = engine.settings.model_copy(update={"max_answer_items": 1_000})
    result = await local_client.run(
        f"{{ tasks {{ nodes {{ ... on EchoTask {{ input {{ {again} }} }} }} }} }}"
    )

    assert len(data["enqueueEcho"]["task"]["input"]["message"]) == 8_000
    assert "more than 1,000 items" in result.errors[0].message


async def test_the_events_of_a_history_are_counted_before_they_are_read(local_client, engine):
    await local_client.add()
    engine.settings = engine.settings.model_copy(update={"max_answer_items": 30})
    few = await local_client.run("{ tasks { nodes { history { cursor } } } }")
    many = await local_client.run("{ tasks { nodes { history(first: 100) { cursor } } } }")

    assert few.errors is None
    assert "more than 30 items" in many.errors[0].message


async def test_a_value_that_is_loaded_twice_is_read_once(local_client):
    id_ = await local_client.add()
    context = local_client.context

    first, second = await context.inputs.load_many([id_, id_])

    assert json.loads(first.text) == {"x": 1, "y": 2}
    assert first is second


SIX_TIMES = " ".join(f"a{i}: steps {{ key }}" for i in range(6))


async def test_each_event_of_a_subscription_has_its_own_limit(local_client, engine, report):
    root, steps = await local_client.chain()
    watch = (
        "subscription($id: ID!) { task(id: $id) { task { ... on Workflow { steps { key } } } } }"
    )
    engine.settings = engine.settings.model_copy(update={"max_answer_items": 10})

    async with aclosing(local_client.subscribe(watch, id=root)) as events:
        for number in range(5):
            event = await anext(events)
            report(add, steps[0], "RETRY", ValueError("again"))
            if number == 0:
                assert len(event["task"]["steps"]) == 3
    many = await local_client.run(
        f'{{ task(id: "{root}") {{ ... on Workflow {{ {SIX_TIMES} }} }} }}'
    )

    assert {error.extensions["code"] for error in many.errors} == {ErrorCode.BAD_USER_INPUT}

"""What execution keeps: nothing of events that it gave, and little of errors."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import aclosing

from graphql.execution.collect_fields import FieldDetails

from tasks.arithmetic import add

WATCH = "subscription($id: ID!) { task(id: $id) { kind task { id state version } } }"


def kept() -> int:
    gc.collect()
    return sum(type(found) is FieldDetails for found in gc.get_objects())


async def test_a_subscription_keeps_nothing_of_its_events(door, report):
    task_id = await door.add()
    async with aclosing(door.subscribe(WATCH, id=task_id)) as events:
        for _ in range(5):
            await anext(events)
            report(add, task_id, "RETRY", ValueError("again"))
        before = kept()
        for _ in range(100):
            await anext(events)
            report(add, task_id, "RETRY", ValueError("again"))

        assert kept() - before < 50


FAILING = " ".join(f"a{i}: history(first: 0) {{ kind }}" for i in range(189))
TWICE = "history(first: 0) { kind } " * 2


async def longest_wait(until: asyncio.Event) -> float:
    """Give the longest time for which something else could not go on."""
    longest_s = 0.0
    while not until.is_set():
        began = time.monotonic()
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.monotonic() - began)
    return longest_s


async def test_thousands_of_errors_do_not_hold_up_others(door):
    for _ in range(100):
        await door.add()
    ended = asyncio.Event()
    waiting = asyncio.create_task(longest_wait(ended))
    began = time.process_time()

    lines = "\n" * 4_900
    result = await door.run(f"{lines}{{ tasks(first: 100) {{ nodes {{ id {FAILING} }} }} }}")

    took_s = time.process_time() - began
    ended.set()
    nodes = result.data["tasks"]["nodes"]
    assert all(node.pop("id") for node in nodes)
    assert nodes == [dict.fromkeys(f"a{i}" for i in range(189))] * 100
    assert len(result.errors) == 101
    assert result.errors[-1].message == "18,800 more errors are left out: ask for less at a time"
    assert await waiting < 1, "it held up others for 12 s"
    assert took_s < 5


async def test_the_error_of_a_field_that_is_named_often_has_one_location(door):
    task_id = await door.add()

    result = await door.run(f'{{ task(id: "{task_id}") {{ {TWICE} }} }}')

    (error,) = result.errors
    assert len(error.locations) == 1


async def test_an_event_with_too_many_errors_shows_the_rest(door):
    task_id = await door.add()
    watch = f"subscription($id: ID!) {{ task(id: $id) {{ kind task {{ id {FAILING} }} }} }}"

    source = await door._api.schema.stream(watch, {"id": task_id}, door.context)
    async with aclosing(source):
        event = await anext(source)

    assert event.data["task"]["task"]["id"] == task_id
    assert len(event.errors) == 101

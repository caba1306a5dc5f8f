"""The history of a task: the same events as in its stream, in pages."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from tasks.arithmetic import add, mul

EVENT = """
  cursor at kind
  task { __typename id state celeryState version attempt worker startedAt finishedAt
         progress { current total message } failure { type message } tags stepKey }
  workflow { id state version counts { total waiting queued running succeeded } startedAt }
"""
STREAM = f"""
subscription($id: ID!, $after: EventCursor) {{ task(id: $id, after: $after) {{ {EVENT} }} }}
"""
HISTORY = f"""
query($id: ID!, $first: Int, $after: EventCursor) {{
  task(id: $id) {{ history(first: $first, after: $after) {{ {EVENT} }} }}
}}
"""
BRIEF = "query($id: ID!, $first: Int, $after: EventCursor) { task(id: $id) {"
BRIEF += " history(first: $first, after: $after) { cursor task { version } } } }"


async def history(local_client, task_id: str, **page) -> list:
    return (await local_client.execute(HISTORY, id=task_id, **page))["task"]["history"]


async def versions(local_client, task_id: str, **page) -> list[int]:
    events = (await local_client.execute(BRIEF, id=task_id, **page))["task"]["history"]
    return [event["task"]["version"] for event in events]


@pytest.fixture
async def task(local_client, report) -> str:
    """A finished task with 153 events."""
    task_id = await local_client.add("night")
    report(add, task_id, "STARTED")
    for i in range(150):
        report(add, task_id, "PROGRESS", {"current": i, "total": 150, "message": "on"})
    report(add, task_id, "SUCCESS", 3.0)
    return task_id


async def test_a_history_has_the_events_of_the_stream(local_client, report):
    workflow, steps = await local_client.chain()
    streams = {
        task_id: local_client.subscribe(STREAM, id=task_id) for task_id in (workflow, *steps)
    }
    for events in streams.values():
        assert (await anext(events))["kind"] == "SNAPSHOT"
    report(add, steps[0], "STARTED")
    report(add, steps[0], "PROGRESS", {"current": 1, "total": 2, "message": "half"})
    report(add, steps[0], "RETRY", ValueError("again"))
    for task, step in zip((add, add, mul), steps, strict=True):
        report(task, step, "STARTED")
        report(task, step, "SUCCESS", 3.0)

    for task_id, events in streams.items():
        streamed = [event async for event in events]
        kept = await history(local_client, task_id, first=100)
        assert kept[-len(streamed) :] == streamed
        assert len(kept) == len(streamed) + (4 if task_id == workflow else 1)
    assert {event["task"]["id"] for event in await history(local_client, workflow)} == set(streams)


async def test_a_history_is_paged_from_the_oldest_twenty_at_a_time(local_client, task):
    pages, after = [], None

    while not pages or pages[-1]:
        data = await local_client.execute(BRIEF, id=task, after=after)
        events = data["task"]["history"]
        pages.append([event["task"]["version"] for event in events])
        after = events[-1]["cursor"] if events else None

    assert [len(page) for page in pages] == [20] * 7 + [13, 0]
    assert [version for page in pages for version in page] == list(range(1, 154))


async def test_a_page_of_a_history_may_hold_a_hundred(local_client, task):
    assert await versions(local_client, task, first=100) == list(range(1, 101))


@pytest.mark.parametrize("first", [0, -1, 101])
async def test_a_page_size_out_of_range_is_refused(local_client, task, first):
    assert (await local_client.answer(BRIEF, id=task, first=first))[1] == ["BAD_USER_INPUT"]


async def test_an_invalid_cursor_is_refused(local_client, task):
    assert (await local_client.answer(BRIEF, id=task, after="yesterday"))[1] == ["BAD_USER_INPUT"]


async def test_the_history_of_a_step_skips_the_events_of_other_steps(local_client, report):
    _, (first, second, _) = await local_client.chain()
    report(add, first, "STARTED")
    for i in range(600):
        report(add, first, "PROGRESS", {"current": i})
    report(add, second, "STARTED")

    assert await versions(local_client, second, first=1) == [1]
    assert await versions(local_client, second) == [1, 2]
    assert await versions(local_client, first, first=3) == [1, 2, 3]


async def test_after_a_trimmed_cursor_a_history_starts_with_the_oldest_event(
    local_client, task, empty_redis
):
    (oldest,) = await history(local_client, task, first=1)
    trimmed = empty_redis.lpop(f"celeryql:events:{task}", 50)[-1].split()[0]
    empty_redis.hset(f"celeryql:task:{task}", "trimmed", trimmed)

    assert await versions(local_client, task, first=2) == [51, 52]
    assert await versions(local_client, task, first=2, after=oldest["cursor"]) == [51, 52]


async def test_a_stream_continues_a_history_without_a_gap(local_client, task):
    page = await history(local_client, task, first=100)

    async with aclosing(
        local_client.subscribe(STREAM, id=task, after=page[-1]["cursor"])
    ) as events:
        rest = [event async for event in events]

    assert [event["task"]["version"] for event in page + rest] == list(range(1, 154))


async def test_a_history_after_a_future_cursor_is_refused_as_in_a_stream(local_client, task):
    result = await local_client.run(
        BRIEF, variable_values={"id": task, "after": "99999999999999-0"}
    )

    (error,) = result.errors
    assert error.message == (
        "No event has the cursor '99999999999999-0' yet: "
        "use the `cursor` of an event or of an answer"
    )
    assert error.extensions["code"] == "BAD_USER_INPUT"
    assert error.path == ["task", "history"]


async def test_a_history_after_a_cursor_of_another_task_has_later_events_only(local_client, task):
    other = await local_client.add()
    (event,) = (await local_client.execute(BRIEF, id=other))["task"]["history"]

    assert await versions(local_client, task, after=event["cursor"]) == []

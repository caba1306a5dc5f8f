"""Streams of real processes have each event once and in order, under load and faults."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, aclosing
from itertools import pairwise

import pytest
from redis import Redis

from tests.client import Client
from tests.processes import running_api

pytestmark = pytest.mark.slow

WATCH = """
subscription($id: ID!, $after: EventCursor) {
  task(id: $id, after: $after) { cursor at kind task { id state version progress { current } } }
}
"""
WATCH_ALL = """
subscription($filter: TaskFilter, $after: EventCursor) {
  tasks(filter: $filter, after: $after) { cursor task { id state version } }
}
"""
HISTORY = """
query($id: ID!, $after: EventCursor) {
  task(id: $id) { history(first: 100, after: $after) {
    cursor at kind task { id state version progress { current } }
  } }
}
"""


async def read_history(client, task_id: str) -> list:
    """Read a complete history, page by page."""
    events = []
    while True:
        after = events[-1]["cursor"] if events else None
        page = (await client.execute(HISTORY, id=task_id, after=after))["task"]["history"]
        if not page:
            return events
        events += page


def versions(events) -> list[int]:
    return [event["task"]["version"] for event in events]


async def test_no_event_is_missed_between_a_query_and_the_stream_under_load(
    client, producing, accept
):
    ids = await accept(client, 4)

    async def switch_to_stream(task_id: str, delay_s: float) -> tuple[int, list]:
        await asyncio.sleep(delay_s)  # while events are written
        query = "query($id: ID!) { task(id: $id) { version cursor } }"
        task = (await client.execute(query, id=task_id))["task"]
        return task["version"], await client.events(WATCH, id=task_id, after=task["cursor"])

    with producing("RETRY", 1_200, 400, *ids):
        handovers = await asyncio.gather(
            *[
                switch_to_stream(task_id, n / 8)
                for n in range(24)
                for task_id in ids[n % 4 : n % 4 + 1]
            ]
        )

    for seen, events in handovers:
        assert versions(events) == list(range(seen + 1, 304))
        # None if a slow machine subscribed only after the end.
        assert {event["kind"] for event in events} <= {"STATE"}
    assert any(events for _, events in handovers)


async def test_no_event_is_missed_between_a_list_and_the_stream_under_load(
    client, producing, accept
):
    ids = await accept(client, 4, "list")
    filter_ = {"tags": ["list"]}

    async def switch_to_stream() -> None:
        query = "query($filter: TaskFilter) { tasks(filter: $filter)"
        query += " { cursor nodes { id version } } }"
        page = (await client.execute(query, filter=filter_))["tasks"]
        seen = {node["id"]: node["version"] for node in page["nodes"]}
        ended = 0
        stream = client.watch(WATCH_ALL, filter=filter_, after=page["cursor"])
        async with aclosing(stream) as messages:
            async for message in messages:
                task = message["payload"]["data"]["tasks"]["task"]
                # The list may be newer than its cursor, so events that it includes may come again.
                assert task["version"] <= seen[task["id"]] + 1
                seen[task["id"]] = max(seen[task["id"]], task["version"])
                ended += task["state"] == "SUCCEEDED"
                if ended == len(ids):
                    break
        assert seen == dict.fromkeys(ids, 303)

    with producing("RETRY", 1_200, 400, *ids):
        await asyncio.gather(*[switch_to_stream() for _ in range(8)])


async def test_killed_connections_lose_no_event(client, redis_url, producing, accept):
    ids = await accept(client, 4, "killed")
    watching = [asyncio.create_task(client.events(WATCH, id=id_)) for id_ in ids * 2]
    watching_all = asyncio.create_task(all_until(client, "killed", 4))

    with producing("RETRY", 2_000, 500, *ids), Redis.from_url(redis_url) as redis:
        for _ in range(6):
            await asyncio.sleep(0.6)  # spread over the four seconds in which events are written
            redis.client_kill_filter(_type="normal", skipme=True)
        streams = await asyncio.gather(*watching)
    received = await watching_all

    for task_id, (snapshot, *events) in zip(ids * 2, streams, strict=True):
        seen = snapshot["task"]["version"]
        assert versions(events) == list(range(seen + 1, seen + 1 + len(events)))
        assert events == (await read_history(client, task_id))[-len(events) :]
        assert [e["task"] for e in received if e["task"]["id"] == task_id][-1][
            "state"
        ] == "SUCCEEDED"
    assert len(received) == len({event["cursor"] for event in received})
    for task_id in ids:
        of_one = versions([event for event in received if event["task"]["id"] == task_id])
        assert of_one == list(range(of_one[0], of_one[0] + len(of_one)))


async def all_until(client, tag: str, ends: int) -> list:
    """Watch all tasks with a tag until this many have ended."""
    received = []
    async with aclosing(client.watch(WATCH_ALL, filter={"tags": [tag]})) as messages:
        async for message in messages:
            received.append(message["payload"]["data"]["tasks"])
            ends -= received[-1]["task"]["state"] == "SUCCEEDED"
            if not ends:
                return received
    return received


async def test_a_restarted_api_loses_no_event(environment, logs, producing, accept):
    received = []
    with ExitStack() as production:
        for log in ("first.log", "second.log", "third.log"):
            with running_api(environment, logs / log) as url:
                api = Client(url)
                if not received:
                    (task_id,) = await accept(api, 1)
                    production.enter_context(producing("RETRY", 800, 200, task_id))
                async with aclosing(watch_after(api, task_id, received)) as events:
                    async for event in events:
                        received.append(event)
                        if len(received) % 100 == 0 and log != "third.log":
                            break
                history = await read_history(api, task_id)

    assert received[1:] == history[-len(received) + 1 :]
    assert received[-1]["task"]["state"] == "SUCCEEDED"


async def watch_after(client, task_id: str, received: list):
    after = received[-1]["cursor"] if received else None
    async with aclosing(client.watch(WATCH, id=task_id, after=after)) as messages:
        async for message in messages:
            yield message["payload"]["data"]["task"]


async def test_a_client_that_reads_one_event_a_second_gets_every_state(client, producing, accept):
    (task_id,) = await accept(client, 1)
    with producing("RETRY", 3_000, 1_500, task_id):
        received = []
        async with aclosing(watch_after(client, task_id, [])) as events:
            async for event in events:
                received.append(event)
                if len(received) <= 5:
                    await asyncio.sleep(1)  # the slow client

    assert versions(received[1:]) == list(range(received[0]["task"]["version"] + 1, 3_004))


async def test_a_history_has_the_events_of_the_stream(client, producing, accept):
    (task_id,) = await accept(client, 1)
    with producing("PROGRESS", 300, 200, task_id):
        snapshot, *events = await client.events(WATCH, id=task_id)

    history = await read_history(client, task_id)
    assert [event for event in history if event in events] == events
    assert versions(history) == list(range(1, 304))
    assert snapshot["kind"] == "SNAPSHOT"


async def test_a_client_that_resumes_before_a_trimmed_history_gets_a_gap(
    client, producing, accept, monkeypatch
):
    monkeypatch.setenv("HISTORY_KEPT", "100")  # for the process that writes the events
    (task_id,) = await accept(client, 1)
    (first,) = await read_history(client, task_id)
    with producing("RETRY", 300, 1_000, task_id):
        pass

    events = await client.events(WATCH, id=task_id, after=first["cursor"])
    history = await read_history(client, task_id)
    rest = await client.events(WATCH, id=task_id, after=history[0]["cursor"])

    assert [(e["kind"], e["task"]["version"]) for e in events] == [("GAP", 303), ("SNAPSHOT", 303)]
    assert versions(history) == list(range(204, 304))
    assert rest == history[1:]


@pytest.mark.alone
async def test_the_cluster_is_sent_at_most_once_a_second(client, accept):
    times = []
    async with aclosing(
        client.watch("subscription { cluster { at queues { depth } } }")
    ) as received:
        async for _ in received:
            times.append(time.monotonic())
            if len(times) == 4:
                break
            for _ in range(5):
                await accept(client, 1)

    assert min(later - sooner for sooner, later in pairwise(times)) > 0.95

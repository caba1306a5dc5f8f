"""What subscriptions send, which arguments they refuse, and when they end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from celeryql.watching.cluster_poller import ClusterPoller
from tasks.arithmetic import add

TASK = """
subscription($id: ID!, $after: EventCursor) {
  task(id: $id, after: $after) {
    cursor kind task { __typename id state version } workflow { id state counts { total queued } }
  }
}
"""
TASKS = """
subscription($filter: TaskFilter, $after: EventCursor) {
  tasks(filter: $filter, after: $after) { cursor kind task { id state version tags } }
}
"""
CLUSTER = """
subscription { cluster {
  at
  queues { name depth unacked oldestWaitingSeconds workers { name queues { name depth } }
           definitions { name unserved queue { depth } } }
  workers { name online queues { name depth workers { name } } active { id } }
} }
"""
WORKER = {
    "online": "1", "pool": "solo", "concurrency": "1", "queues": '["celery"]', "active": "[]",
    "processed": "3", "rss_bytes": "1000",
}  # fmt: skip


async def newest(local_client) -> str:
    return (await local_client.execute("{ tasks { cursor } }"))["tasks"]["cursor"]


def run(report, *ids: str) -> None:
    for task_id in ids:
        report(add, task_id, "STARTED")
        report(add, task_id, "SUCCESS", 3.0)


async def test_a_task_is_watched_from_its_snapshot_to_its_final_state(local_client, report):
    task_id = await local_client.add()
    async with aclosing(local_client.subscribe(TASK, id=task_id)) as events:
        received = [await anext(events)]
        run(report, task_id)
        received += [event async for event in events]

    assert [(e["kind"], e["task"], e["workflow"]) for e in received] == [
        (kind, {"__typename": "AddTask", "id": task_id, "state": state, "version": version}, None)
        for kind, state, version in [
            ("SNAPSHOT", "QUEUED", 1), ("STATE", "RUNNING", 2), ("STATE", "SUCCEEDED", 3),
        ]
    ]  # fmt: skip


async def test_watching_a_step_sends_its_workflow_but_no_other_steps(local_client, report):
    workflow, (first, second, _) = await local_client.chain()
    async with aclosing(local_client.subscribe(TASK, id=second)) as events:
        snapshot = await anext(events)
        report(add, first, "STARTED")
        run(report, second)
        rest = [event async for event in events]

    assert snapshot["workflow"] == {
        "id": workflow, "state": "QUEUED", "counts": {"total": 3, "queued": 1},
    }  # fmt: skip
    assert [(e["task"]["id"], e["task"]["state"]) for e in rest] == [
        (second, "RUNNING"), (second, "SUCCEEDED"),
    ]  # fmt: skip
    assert {e["workflow"]["id"] for e in rest} == {workflow}


async def test_a_client_that_resumes_too_late_gets_a_gap_event(local_client, report, empty_redis):
    task_id = await local_client.add()
    after = await newest(local_client)
    report(add, task_id, "STARTED")
    trimmed = empty_redis.lpop(f"celeryql:events:{task_id}", 2)[-1].split()[0]
    empty_redis.hset(f"celeryql:task:{task_id}", "trimmed", trimmed)
    async with aclosing(local_client.subscribe(TASK, id=task_id, after=after)) as events:
        received = [await anext(events), await anext(events)]
        report(add, task_id, "SUCCESS", 3.0)
        received += [event async for event in events]

    assert [(e["kind"], e["task"]["state"]) for e in received] == [
        ("GAP", "RUNNING"), ("SNAPSHOT", "RUNNING"), ("STATE", "SUCCEEDED"),
    ]  # fmt: skip
    assert received[0]["cursor"] == received[1]["cursor"]


async def test_tasks_can_be_watched_from_the_cursor_of_a_list(local_client, report):
    before = await local_client.add()
    after = await newest(local_client)
    run(report, before)
    task_id = await local_client.add("night")

    received = await local_client.take(3, TASKS, after=after)

    assert [(e["kind"], e["task"]["id"], e["task"]["state"]) for e in received] == [
        ("STATE", before, "RUNNING"), ("STATE", before, "SUCCEEDED"), ("STATE", task_id, "QUEUED"),
    ]  # fmt: skip
    assert received[-1]["task"]["tags"] == ["night"]


async def test_the_tasks_stream_resumes_after_any_of_its_events(local_client, report):
    after = await newest(local_client)
    run(report, await local_client.add(), await local_client.add())
    events = await local_client.take(6, TASKS, after=after)

    rests = [
        await local_client.take(5 - i, TASKS, after=event["cursor"])
        for i, event in enumerate(events[:-1])
    ]

    assert rests == [events[i + 1 :] for i in range(5)]


@pytest.mark.parametrize(
    ("filter_", "states"),
    [
        ({"states": ["RUNNING", "FAILED"]}, ["RUNNING"]),
        ({"tags": ["night"]}, ["QUEUED", "RUNNING", "SUCCEEDED"]),
        ({"definitions": ["add"], "queues": ["celery"], "states": ["QUEUED"]}, ["QUEUED"] * 2),
        ({"topLevelOnly": True, "states": ["SUCCEEDED"]}, ["SUCCEEDED"]),
        ({"createdAfter": "2020-01-01T00:00:00Z", "states": ["SUCCEEDED"]}, ["SUCCEEDED"]),
    ],
)
async def test_a_filter_selects_the_events_of_the_tasks_stream(
    local_client, report, filter_, states
):
    after = await newest(local_client)
    await local_client.add()
    run(report, await local_client.add("night"))

    received = await local_client.take(len(states), TASKS, filter=filter_, after=after)

    assert [event["task"]["state"] for event in received] == states


async def test_tasks_can_be_watched_by_their_ids(local_client, report):
    after = await newest(local_client)
    _, wanted = await local_client.add(), await local_client.add()
    run(report, wanted)

    received = await local_client.take(3, TASKS, filter={"ids": [wanted, "never"]}, after=after)

    assert {event["task"]["id"] for event in received} == {wanted}


@pytest.mark.parametrize("operation", [TASK, TASKS], ids=["task", "tasks"])
@pytest.mark.parametrize("after", ["", "yesterday", "12", "1-x", "\ud800", "9" * 30 + "-0"])
async def test_an_invalid_or_future_cursor_is_refused(local_client, operation, after):
    task_id = await local_client.add()
    variables = {"id": task_id} if operation is TASK else {}

    assert await local_client.take(1, operation, after=after, **variables) == [["BAD_USER_INPUT"]]


async def test_a_filter_that_is_too_long_is_refused(local_client):
    assert await local_client.take(1, TASKS, filter={"tags": ["x"] * 101}) == [["BAD_USER_INPUT"]]


@pytest.mark.parametrize("task_id", ["never", "\ud800", ""])
async def test_a_task_that_was_never_accepted_is_not_found(local_client, task_id):
    assert await local_client.take(1, TASK, id=task_id) == [["NOT_FOUND"]]


async def test_a_cursor_older_than_the_stream_has_expired(local_client, report, empty_redis):
    after = await newest(local_client)
    run(report, await local_client.add())
    empty_redis.xtrim("celeryql:events", maxlen=1, approximate=False)

    assert await local_client.take(1, TASKS, after=after) == [["CURSOR_EXPIRED"]]


async def test_a_client_that_lags_behind_the_trimmed_stream_gets_an_error(
    local_client, report, empty_redis
):
    task_id = await local_client.add()
    async with aclosing(local_client.subscribe(TASKS, after=await newest(local_client))) as events:
        report(add, task_id, "STARTED")
        first = await anext(events)
        for _ in range(20):
            report(add, task_id, "RETRY", ValueError("again"))
        empty_redis.xtrim("celeryql:events", maxlen=1, approximate=False)
        async with asyncio.timeout(10):
            rest = [event async for event in events]

    assert first["task"]["state"] == "RUNNING"
    assert rest[-1] == ["CURSOR_EXPIRED"]


async def test_the_cluster_is_sent_on_changes_as_of_one_moment(local_client, empty_redis):
    now_ms = int(empty_redis.time()[0]) * 1_000
    empty_redis.hset("celeryql:worker:w", mapping=WORKER | {"seen_at": now_ms})
    empty_redis.zadd("celeryql:workers", {"w": now_ms})
    async with asyncio.timeout(10), aclosing(local_client.subscribe(CLUSTER)) as moments:
        first = await anext(moments)
        await local_client.add()
        second = await anext(moments)

    celery = next(queue for queue in second["queues"] if queue["name"] == "celery")
    assert first["at"] < second["at"]
    assert [queue["depth"] for queue in first["queues"]] == [0, 0, 0]
    assert celery["depth"] == 1
    assert celery["workers"] == [{"name": "w", "queues": [{"name": "celery", "depth": 1}]}]
    assert {"name": "add", "unserved": False, "queue": {"depth": 1}} in celery["definitions"]
    assert second["workers"] == [{
        "name": "w", "online": True, "active": [],
        "queues": [{"name": "celery", "depth": 1, "workers": [{"name": "w"}]}],
    }]  # fmt: skip


async def test_many_cluster_subscribers_share_the_reads_from_redis(
    local_client, engine, empty_redis
):
    # Longer than sending to all subscribers takes on a busy machine, so that each interval has
    # only one poll.
    engine.cluster_poller = ClusterPoller(engine.cluster_reader, engine.queues, interval_s=0.5)
    async with asyncio.timeout(10):
        watching = [local_client.subscribe(CLUSTER) for _ in range(30)]
        await asyncio.gather(*[anext(moments) for moments in watching])
        before = empty_redis.info("stats")["total_commands_processed"]
        await local_client.add()
        await asyncio.gather(*[anext(moments) for moments in watching])
        after = empty_redis.info("stats")["total_commands_processed"]
        for moments in watching:
            await moments.aclose()

    assert (
        after - before < 200
    )  # one poll takes 36 commands, and so does the mutation; thirty polls take 1,080

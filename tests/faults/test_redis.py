"""Test that no task is lost and every worker continues if Redis is killed, frozen or full."""

from __future__ import annotations

import asyncio
import json
import time
from uuid import uuid4

import pytest
from redis.exceptions import OutOfMemoryError

from tests.faults.extent import WHOLE, show_figure
from tests.faults.flood import Flood
from tests.processes import wait_until

pytestmark = pytest.mark.slow

KILLS = 6 if WHOLE else 3
FROZEN_S = 10 if WHOLE else 7  # longer than the 5 s that a worker waits for an answer
CONSUMING_S = 10.0  # within which every worker must consume again
POOLS = {"a": "prefork", "b": "prefork", "c": "solo"}


def start_all(site):
    return [site.run_worker(name, pool) for name, pool in POOLS.items()]


async def all_ran(site, keys, workers):
    """Check that every task succeeded, and return how many ran more than once."""
    assert await site.all_end(90) == {"SUCCEEDED": len(keys)}
    counts = site.ledger.counts()
    assert set(counts) == set(keys)
    assert [worker.is_alive() for worker in workers] == [True] * len(workers)
    assert site.messages_left() == {}
    return sum(n > 1 for n in counts.values())


async def test_workers_survive_a_redis_that_is_killed_repeatedly_under_load(site):
    workers, flood = start_all(site), Flood(site, seconds=0.02)
    await flood.enqueue(250 * KILLS)

    slowest_s = 0.0
    for _ in range(KILLS):
        await asyncio.sleep(1)  # the workers run tasks
        site.server.kill()
        await asyncio.sleep(0.5)  # the workers notice
        site.server.start()
        took_s = await flood.wait_until_all_consume(workers, time.time(), CONSUMING_S)
        slowest_s = max(slowest_s, took_s)

    again = await all_ran(site, flood.keys, workers)
    assert again == 0, f"{again} of {len(flood.keys)} ran more than once"
    show_figure(f"all were consuming again within {slowest_s:.1f} s")


async def test_an_outage_longer_than_the_visibility_timeout_runs_nothing_twice(site):
    workers = start_all(site)
    keys = [f"k{n}" for n in range(5)]  # one for each worker process
    await site.work(keys, seconds=9)
    wait_until(lambda: len(site.ledger.runs()) == 5, "all run")

    site.server.kill()
    await asyncio.sleep(5)  # longer than the visibility timeout of 2 s
    site.server.start()

    assert await all_ran(site, keys, workers) == 0


async def test_a_frozen_redis_runs_nothing_twice(site):
    workers, flood = start_all(site), Flood(site, seconds=0.05)
    await flood.enqueue(600)
    await asyncio.sleep(1)

    site.server.freeze()
    await asyncio.sleep(FROZEN_S)
    site.server.thaw()
    slowest_s = await flood.wait_until_all_consume(workers, time.time(), CONSUMING_S)

    again = await all_ran(site, flood.keys, workers)
    assert again == 0, f"{again} of {len(flood.keys)} ran more than once"
    show_figure(f"all were consuming again within {slowest_s:.1f} s")


async def test_killed_connections_run_nothing_twice(site):
    times = 10 if WHOLE else 5
    workers, keys = start_all(site), [f"k{n}" for n in range(100 * times)]
    await site.work(keys, seconds=0.05)

    for _ in range(times):
        await asyncio.sleep(0.5)
        site.redis.client_kill_filter(_type="normal", skipme=True)
        site.redis.client_kill_filter(_type="pubsub", skipme=True)

    assert await all_ran(site, keys, workers) == 0


async def test_a_full_redis_refuses_new_tasks_and_runs_nothing_twice(site):
    workers, keys = start_all(site), [f"k{n}" for n in range(400)]
    await site.work(keys, seconds=0.05)
    await asyncio.sleep(0.5)

    redis = site.redis
    redis.config_set("maxmemory", "1mb")
    with pytest.raises(OutOfMemoryError):
        redis.set("more", "x")
    await asyncio.sleep(4)
    refused = await site.client.execute(
        "mutation { enqueueAdd(input: {x: 1, y: 2}) { ... on Unavailable { message } } }"
    )
    redis.config_set("maxmemory", "0")

    assert "Nothing was accepted" in refused["enqueueAdd"]["message"]
    assert await all_ran(site, keys, workers) == 0


async def test_an_unanswered_acknowledgement_does_not_use_up_the_prefetch_limit(site):
    worker = site.run_worker("a", "solo", VISIBILITY_TIMEOUT="60")
    redis = site.redis
    pubsub = redis.pubsub()
    pubsub.psubscribe("celery-task-meta-*")
    await site.work([f"k{n}" for n in range(6)], seconds=0.2)  # the worker may hold two
    for event in pubsub.listen():
        if event["type"] == "pmessage" and json.loads(event["data"])["status"] == "SUCCESS":
            redis.client_pause(5_600, all=True)  # longer than the 5 s that a worker waits
            break
    await asyncio.sleep(6)  # until Redis answers again

    assert await site.all_end() == {"SUCCEEDED": 6}
    assert (worker.is_alive(), set(site.ledger.counts().values())) == (True, {1})


def message(task, args, **headers):
    """Build a Celery message by hand."""
    task_id = str(uuid4())
    body = json.dumps([args, {}, {"callbacks": None, "errbacks": None, "chain": None}])
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": task_id, "root_id": task_id} | headers,
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_tag": task_id,
                "delivery_info": {"exchange": "celery", "routing_key": "celery"},
            },
        }
    )


POISON = {
    "no JSON": ("this is no JSON", "Dropped a queue entry that is not"),
    "no text": (b"\xff\xfe\x00", "Dropped a queue entry that is not"),
    "a number": ("1", "Dropped a queue entry that is not"),
    "a list": ("[]", "Dropped a queue entry that is not"),
    "nested too deeply": ("[" * 5_000 + "]" * 5_000, "Dropped a queue entry that is not"),
    "an empty object": ("{}", "Dropped a queue entry that is not"),
    "no body": (
        json.dumps({"properties": {"delivery_tag": "t"}}),
        "Dropped a queue entry that is not",
    ),
    "an unknown task": (message("nobody.knows", []), "Received unregistered task"),
    "no task": (message(None, []), "unregistered task"),
    "wrong arguments": (message("tasks.arithmetic.add", ["one", "two"]), "x: "),
}


@pytest.mark.parametrize("pool", ["prefork", "solo"])
async def test_a_bad_message_is_rejected_with_a_reason_and_others_still_run(site, pool):
    worker = site.run_worker("a", pool)
    for n, (what, (text, reason)) in enumerate(POISON.items(), 1):
        logged = len(worker.log.read_text())
        site.redis.lpush("celery", text)
        await site.enqueue("work", key=f"k{n}", seconds=0)
        wait_until(lambda n=n: len(site.ledger.runs("end")) == n, f"the task behind {what}")
        assert reason in worker.log.read_text()[logged:], what

    assert worker.is_alive()
    known = {"SUCCEEDED": len(POISON), "FAILED": 3}  # the last three bad messages have a task id
    assert await site.all_end() == known
    assert site.messages_left() == {}


async def test_duplicates_of_a_finished_and_of_a_running_task_are_not_run(site):
    site.run_worker("a", "prefork")
    site.run_worker("b", "solo")
    done = await site.enqueue("work", key="done", seconds=0)
    redis, copies = site.redis, []
    await site.all_end()
    running = await site.enqueue("work", key="running", seconds=6)
    wait_until(lambda: redis.hget(f"celeryql:task:{running}", "state") == "RUNNING", "runs")
    for tag, held in redis.hgetall("unacked").items():
        payload = json.dumps(json.loads(held)[0])
        copies += [payload.replace(tag, str(uuid4())) for _ in range(3)] + [payload]
    for copy in copies:
        redis.lpush("celery", copy, copy.replace(running, done))
    assert await site.all_end() == {"SUCCEEDED": 2}
    wait_until(lambda: not site.messages_left(), "all duplicates dropped")

    assert site.ledger.counts() == {"done": 1, "running": 1}

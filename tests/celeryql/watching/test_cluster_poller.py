"""The cluster poller: a snapshot at once, then each change, read once for all subscribers."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from celeryql.definition.options import EnqueueOptions
from celeryql.watching.cluster_poller import ClusterPoller

WORKER = {
    "online": "1", "pool": "solo", "concurrency": "1", "queues": '["celery"]', "active": "[]",
    "processed": "3", "rss_bytes": "1000",
}  # fmt: skip
INTERVAL_S = 0.05


@pytest.fixture
def cluster(engine) -> ClusterPoller:
    engine.cluster_poller = ClusterPoller(engine.cluster_reader, ("celery",), interval_s=INTERVAL_S)
    return engine.cluster_poller  # the engine waits for its task before it closes connections


async def accept(engine) -> None:
    definition = engine.definitions["add"]
    arguments = definition.arguments(x=1, y=2)
    await engine.submitter.enqueue(definition, arguments, EnqueueOptions(), "ann")


def beat(redis, **fields) -> None:
    seconds, microseconds = redis.time()
    seen_at = seconds * 1_000 + microseconds // 1_000
    redis.hset("celeryql:worker:w", mapping=WORKER | {"seen_at": seen_at} | fields)
    redis.zadd("celeryql:workers", {"w": seconds})


def reads(redis) -> int:
    """Count how often the queues were read."""
    return redis.info("commandstats").get("cmdstat_hvals", {"calls": 0})["calls"]


async def test_a_subscriber_gets_a_snapshot_at_once_and_after_each_change(
    engine, cluster, empty_redis
):
    async with aclosing(cluster.watch()) as moments:
        first = await anext(moments)
        await accept(engine)
        second = await anext(moments)
        beat(empty_redis)
        third = await anext(moments)

    assert [moment.queues[0].depth for moment in (first, second, third)] == [0, 1, 1]
    assert [len(moment.workers) for moment in (first, second, third)] == [0, 0, 1]
    assert first.at < second.at < third.at


async def test_constantly_changing_fields_alone_send_no_snapshot(engine, cluster, empty_redis):
    await accept(engine)
    beat(empty_redis)
    async with aclosing(cluster.watch()) as moments:
        await anext(moments)
        following = asyncio.ensure_future(anext(moments))
        before = reads(empty_redis)
        while reads(empty_redis) < before + 5:
            beat(empty_redis, rss_bytes="2000")
            await asyncio.sleep(INTERVAL_S)
        was_quiet = not following.done()
        beat(empty_redis, processed="4", rss_bytes="2000")
        changed = await following

    assert was_quiet
    assert (changed.workers[0].processed, changed.workers[0].rss_bytes) == (4, 2000)


async def test_subscribers_share_one_poller_that_ends_with_the_last_of_them(
    engine, cluster, empty_redis
):
    watching = [cluster.watch() for _ in range(20)]
    for moments in watching:
        await anext(moments)
    before, began = reads(empty_redis), time.monotonic()
    while reads(empty_redis) < before + 3:  # noqa: ASYNC110  # Redis has no event for this
        await asyncio.sleep(INTERVAL_S / 5)
    took_s = time.monotonic() - began
    for moments in watching:
        await moments.aclose()

    assert took_s > 2 * INTERVAL_S * 0.9
    assert cluster._task is None
    after = reads(empty_redis)
    await asyncio.sleep(3 * INTERVAL_S)  # a poller that was left running would read again
    assert reads(empty_redis) == after


async def test_frequent_changes_are_sent_together(engine, cluster):
    async with aclosing(cluster.watch()) as moments:
        await anext(moments)
        began = time.monotonic()
        depths = []
        while sum(depths[-1:]) < 30:
            for _ in range(10):
                await accept(engine)
            depths.append((await anext(moments)).queues[0].depth)
        took_s = time.monotonic() - began

    assert len(depths) <= took_s / INTERVAL_S + 1


async def test_a_subscription_continues_after_an_outage(engine, cluster, empty_redis):
    async with aclosing(cluster.watch()) as moments:
        await anext(moments)
        empty_redis.set("unacked", "no hash")  # so Redis answers with an error
        following = asyncio.ensure_future(anext(moments))
        await asyncio.sleep(3 * INTERVAL_S)  # a few reads fail
        empty_redis.delete("unacked")
        await accept(engine)

        async with asyncio.timeout(5):
            assert (await following).queues[0].depth == 1

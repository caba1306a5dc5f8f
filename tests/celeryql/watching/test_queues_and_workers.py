"""Queues and workers are read correctly, whatever other programs write to their keys."""

from __future__ import annotations

import json

import pytest

from celeryql.definition.options import EnqueueOptions
from celeryql.watching.queues_and_workers import QueueStatus

WORKER = {
    "online": "1", "pool": "solo", "concurrency": "1", "queues": '["celery"]', "active": "[]",
    "processed": "3", "rss_bytes": "1000",
}  # fmt: skip
FOREIGN = [
    b"", b"not JSON", b"\xff\xfe\x00", b"null", b"[]", b'{"headers": null}', b'{"headers": {}}',
    b'{"headers": {"id": 5}}', b'{"headers": {"id": "\\ud800"}}', b'{"headers": {"id": null}}',
]  # fmt: skip


async def accept(engine) -> str:
    definition = engine.definitions["add"]
    arguments = definition.arguments(x=1, y=2)
    return (
        await engine.submitter.enqueue(definition, arguments, EnqueueOptions(), "ann")
    ).record.id


async def status(engine, name: str = "celery") -> QueueStatus:
    (found,) = await engine.cluster_reader.read_queues([name])
    return found


async def test_an_empty_queue_has_no_waiting_message(engine):
    assert await status(engine) == QueueStatus("celery", 0, 0, None)


async def test_a_queue_reports_how_long_its_oldest_task_has_waited(engine, empty_redis):
    old, _ = await accept(engine), await accept(engine)
    queued_at = int(empty_redis.hget(f"celeryql:task:{old}", "cursor").partition("-")[0])
    empty_redis.hset(f"celeryql:task:{old}", "cursor", f"{queued_at - 60_000}-0")

    found = await status(engine)

    assert found.depth == 2
    assert 59 < found.oldest_waiting_s < 62


@pytest.mark.parametrize("message", FOREIGN)
async def test_a_foreign_message_counts_and_waits_from_when_it_was_first_seen(
    engine, empty_redis, message
):
    empty_redis.lpush("celery", message)

    assert await status(engine) == QueueStatus("celery", 1, 0, 0.0)


async def test_a_message_without_a_record_ages_while_it_is_the_oldest(engine, empty_redis):
    empty_redis.lpush("celery", json.dumps({"headers": {"id": "plain"}}))
    first = await status(engine)
    ((list_, (message, since_s)),) = engine.cluster_reader._first_seen.items()
    engine.cluster_reader._first_seen[list_] = (message, since_s - 60)

    second = await status(engine)
    await status(engine, "ml_service")  # reading another queue does not reset its age
    third = await status(engine)
    empty_redis.rpush("celery", json.dumps({"headers": {"id": "other"}}))
    other = await status(engine)

    assert first.oldest_waiting_s == 0.0
    assert 59 < second.oldest_waiting_s <= third.oldest_waiting_s < 62
    assert other.oldest_waiting_s < 2


async def test_unreadable_entries_of_unacked_are_not_counted(engine, empty_redis):
    good = json.dumps([{"body": ""}, "", "celery"])
    odd = [b"\xff", b"1", b"[1, 2]", b'[1, 2, ["celery"]]', b"{}", b"[" * 100_000]
    empty_redis.hset("unacked", mapping={str(i): text for i, text in enumerate([good, *odd])})

    assert (await status(engine)).unacked == 1


async def test_a_worker_with_an_unreadable_heartbeat_is_skipped(engine, empty_redis):
    now_ms = int(empty_redis.time()[0]) * 1_000
    odd = {
        "empty": {"online": "1"},
        "timeless": WORKER | {"seen_at": "yesterday"},
        "other": WORKER | {"seen_at": now_ms, "queues": "all"},
    }
    for name, fields in (odd | {"good": WORKER | {"seen_at": now_ms}}).items():
        empty_redis.hset(f"celeryql:worker:{name}", mapping=fields)
        empty_redis.zadd("celeryql:workers", {name: now_ms})
    empty_redis.zadd("celeryql:workers", {"gone": now_ms})

    assert [(w.name, w.online) for w in await engine.cluster_reader.read_workers()] == [
        ("good", True)
    ]


async def test_a_worker_without_recent_heartbeats_is_offline(engine, empty_redis):
    now_ms = int(empty_redis.time()[0]) * 1_000
    for name, silent_s in (("slow", 8), ("dead", 12)):
        seen_at = now_ms - silent_s * 1_000
        empty_redis.hset(f"celeryql:worker:{name}", mapping=WORKER | {"seen_at": seen_at})
        empty_redis.zadd("celeryql:workers", {name: 1})

    found = {worker.name: worker.online for worker in await engine.cluster_reader.read_workers()}

    assert found == {"dead": False, "slow": True}

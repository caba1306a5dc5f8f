"""What never changes of tasks: read once, together, and bounded."""

from __future__ import annotations

import pytest

from celeryql.state.store import Store
from celeryql.watching.record_cache import RecordCache

RECORD = {"state": "RUNNING", "definition": "add", "root": "r", "cursor": "1-0", "created_at": "1"}


@pytest.fixture
def record_cache(engine) -> RecordCache:
    return RecordCache(Store(engine.redis))


def reads(redis) -> int:
    return redis.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"]


async def test_a_record_is_read_once(record_cache, empty_redis):
    empty_redis.hset("celeryql:task:a", mapping=RECORD)
    before = reads(empty_redis)

    found = [await record_cache.get("a") for _ in range(3)]

    assert [record.definition for record in found] == ["add", "add", "add"]
    assert reads(empty_redis) == before + 1


async def test_what_changes_of_a_task_is_not_kept(record_cache, empty_redis):
    empty_redis.hset("celeryql:task:a", mapping=RECORD | {"failure": '{"type":"E","message":"m"}'})

    assert (await record_cache.get("a")).failure is None


async def test_what_does_not_exist_is_not_kept_either(record_cache, empty_redis):
    assert await record_cache.get("a") is None
    empty_redis.hset("celeryql:task:a", mapping=RECORD)

    assert (await record_cache.get("a")).id == "a"


async def test_a_record_that_cannot_be_read_is_left_out_alone(record_cache, empty_redis, caplog):
    empty_redis.hset("celeryql:task:a", mapping=RECORD)
    empty_redis.hset("celeryql:task:b", mapping=RECORD | {"created_at": "yesterday"})

    assert set(await record_cache.get_many(["a", "b"])) == {"a"}
    assert "Record b cannot be read" in caplog.text


async def test_ten_thousand_are_kept_those_used_last(record_cache, empty_redis):
    with empty_redis.pipeline() as pipe:
        for n in range(10_001):
            pipe.hset(f"celeryql:task:{n}", mapping=RECORD)
        pipe.execute()
    for start in range(0, 10_000, 1_000):
        await record_cache.get_many(map(str, range(start, start + 1_000)))
    await record_cache.get("0")

    await record_cache.get("10000")
    before = reads(empty_redis)
    await record_cache.get("0")
    kept = reads(empty_redis)
    await record_cache.get("1")

    assert (kept, reads(empty_redis)) == (before, before + 1)

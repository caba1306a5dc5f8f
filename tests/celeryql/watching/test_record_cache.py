"""The record cache: each record is read once, records are read together, and it is bounded."""

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


async def test_mutable_fields_are_not_cached(record_cache, empty_redis):
    empty_redis.hset("celeryql:task:a", mapping=RECORD | {"failure": '{"type":"E","message":"m"}'})

    assert (await record_cache.get("a")).failure is None


async def test_a_missing_record_is_not_cached(record_cache, empty_redis):
    assert await record_cache.get("a") is None
    empty_redis.hset("celeryql:task:a", mapping=RECORD)

    assert (await record_cache.get("a")).id == "a"


async def test_only_the_unreadable_record_is_left_out(record_cache, empty_redis, caplog):
    empty_redis.hset("celeryql:task:a", mapping=RECORD)
    empty_redis.hset("celeryql:task:b", mapping=RECORD | {"created_at": "yesterday"})

    assert set(await record_cache.get_many(["a", "b"])) == {"a"}
    assert "Record b cannot be read" in caplog.text


async def test_the_ten_thousand_most_recently_used_records_are_kept(record_cache, empty_redis):
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

"""Which errors of a Redis client are outages, and which are errors of ours."""

from __future__ import annotations

import pytest
from redis import Redis, RedisError

from celeryql.outages import is_outage
from graphql_api.local.redis_server import private_redis


def error_of(do) -> RedisError:
    with pytest.raises(RedisError) as caught:
        do()
    return caught.value


def test_a_refused_write_is_an_outage_in_a_pipeline_too(tmp_path):
    with private_redis(tmp_path) as url, Redis.from_url(url) as redis:
        redis.config_set("min-replicas-to-write", 1)  # and there is none

        alone = error_of(lambda: redis.set("a", 1))
        for is_transaction in (False, True):
            error = error_of(redis.pipeline(is_transaction).set("a", 1).execute)
            assert is_outage(error), error
        assert is_outage(alone)


def test_a_wrong_type_is_no_outage_whatever_its_command_contains(empty_redis):
    empty_redis.set("text", "x")

    assert not is_outage(error_of(lambda: empty_redis.hset("text", "a", "LOADING")))
    pipe = empty_redis.pipeline(transaction=False).hset("text", "caused error: LOADING", "x")
    assert not is_outage(error_of(pipe.execute))

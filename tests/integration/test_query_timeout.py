"""A query has a time limit, whatever it waits for."""

from __future__ import annotations

import time

import pytest

from celeryql.settings import Settings
from tests.processes import Server
from tests.serving import serving

pytestmark = [pytest.mark.slow, pytest.mark.alone]


async def test_a_query_that_takes_too_long_ends_with_an_error_and_a_remedy(tmp_path):
    redis = Server(tmp_path / "redis")
    redis.start()
    try:
        async with serving(Settings(redis_url=redis.url, query_timeout_s=0.3)) as client:
            before = await client.execute("{ tasks { nodes { id } } }")
            redis.freeze()
            began = time.monotonic()
            answer = await client.answer("{ tasks { nodes { id } } }")
            took_s = time.monotonic() - began
            redis.thaw()
            after = await client.execute("{ tasks { nodes { id } } }")
    finally:
        redis.close()

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert "longer than 0.3 s" in error["message"]
    assert took_s < 0.8  # the timeout of Redis itself is one second
    assert before == after == {"tasks": {"nodes": []}}

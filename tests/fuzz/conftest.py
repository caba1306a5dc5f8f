"""Provide one API to fuzz, and check it after each test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import psutil
import pytest

from graphql_api.local.redis_server import private_redis
from tests.fuzz.target import SECRET, Target
from tests.processes import running_api_process, wait_until
from tests.public import KINDS, public_environment
from tests.serving import METRICS_TOKEN

_ENQUEUE = """mutation { enqueueEcho(input: {message: "fuzz"}) {
  ... on EnqueueEchoSuccess { task { id } } } }"""


@pytest.fixture(scope="session")
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """Run an API with authentication, its own Redis and no worker.

    With the kind "public_host" it also has a JWKS, allowed origins and a trusted proxy.
    """
    folder = tmp_path_factory.mktemp("fuzz")
    log = folder / "api.log"
    with private_redis(folder / "redis") as redis_url:
        settings = {
            "REDIS_URL": redis_url,
            "AUTH_JWT_SECRET": SECRET,
            "METRICS_TOKEN": METRICS_TOKEN,
            "LOG_FORMAT": "json",
        }
        if getattr(request, "param", KINDS[0]) == KINDS[1]:
            settings |= public_environment(folder)
        with running_api_process(settings, log) as (url, process):
            port = urlsplit(url).port
            assert port
            bare = Target(port, psutil.Process(process.pid), log)
            waiting, ended = (
                bare.post(_ENQUEUE)["data"]["enqueueEcho"]["task"]["id"] for _ in range(2)
            )
            bare.post(f'mutation {{ cancelTask(id: "{ended}") {{ __typename }} }}')
            yield replace(bare, waiting=waiting, ended=ended)


@pytest.fixture(autouse=True)
def api_stays_healthy(target: Target) -> Iterator[None]:
    """The API stays ready, logs no error and closes all connections."""
    before, logged = target.gauges(), len(target.log.read_bytes())
    yield
    wait_until(lambda: target.gauges() == before, "connections are closed", 5)
    assert target.process.is_running()
    assert target.get("/readyz").status == 200
    lines = map(json.loads, target.log.read_bytes()[logged:].splitlines())
    assert [line for line in lines if line["level"] in ("error", "critical")] == []

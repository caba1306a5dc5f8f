"""Background jobs of an API that fail without an outage are reported, and recover."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from graphql_api.local import programs
from tests.client import Client
from tests.processes import Server, running_api

pytestmark = pytest.mark.slow

WATCH = "subscription($id: ID!) { task(id: $id) { task { state version } } }"
STREAM = "celeryql:events"


class Api:
    """An API with its own Redis, which tests can corrupt, and what the API reports."""

    def __init__(self, url, http, redis, log):
        self.client, self.redis = Client(url), redis
        self._http, self._log = http, log
        self._program = programs.api("127.0.0.1", urlsplit(url).port, {})

    async def until(self, code, deadline_s=15):
        """Wait until `/readyz` answers with a status code, and return the status text."""
        async with asyncio.timeout(deadline_s):
            while (answer := await self._http.get("/readyz")).status_code != code:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return answer.json()["status"]

    async def until_failed(self, times):
        """Wait until this many more commands or scripts have failed."""
        before = failures(self.redis)
        async with asyncio.timeout(15):
            while failures(self.redis) < before + times:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def problem(self):
        return await self._program.find_problem()

    def count_in_log(self, text):
        return self._log.read_text().count(text)


def failures(redis):
    """Count the errors that Redis has answered."""
    return redis.info("stats")["total_error_replies"]


@pytest.fixture
async def api(tmp_path):
    server, log = Server(tmp_path / "redis"), tmp_path / "api.log"
    server.start()
    with Redis.from_url(server.url) as redis, running_api({"REDIS_URL": server.url}, log) as url:
        async with httpx.AsyncClient(base_url=url) as http:
            yield Api(url, http, redis, log)
    server.close()


async def test_a_failing_sweep_is_reported_and_recovers(api):
    await api.until(200)
    api.redis.set("celeryql:expiring", "not a sorted set")
    status = await api.until(503)
    problem = await api.problem()
    task_id = await api.client.enqueue("add", {"start": {"inSeconds": 0.1}}, x=1, y=2)
    await api.until_failed(3)
    api.redis.delete("celeryql:expiring")

    assert await api.until(200) == "ready"
    assert status == "cannot sweep (Redis answers with an error)"
    assert problem is None  # a restart would not help
    assert api.count_in_log("Traceback") == 1
    assert api.count_in_log("Can sweep again") == 1
    task = (await api.client.execute(f'{{ task(id: "{task_id}") {{ state }} }}'))["task"]
    assert task["state"] == "QUEUED"


async def test_a_failing_event_reader_is_reported_and_recovers(api):
    task_id = await api.client.enqueue("add", {"start": {"inSeconds": 2}}, x=1, y=2)
    async with aclosing(api.client.watch(WATCH, id=task_id)) as stream:
        messages = [await anext(stream)]
        entry = api.redis.xadd(STREAM, {"no": "event"})
        status = await api.until(503)
        problem = await api.problem()
        api.redis.xdel(STREAM, entry)
        messages.append(await anext(stream))

    assert await api.until(200) == "ready"
    assert (status, problem) == ("cannot read the event stream (KeyError)",) * 2
    assert api.count_in_log("Traceback") == 1
    tasks = [message["payload"]["data"]["task"]["task"] for message in messages]
    assert tasks == [{"state": "SCHEDULED", "version": 1}, {"state": "QUEUED", "version": 2}]


async def test_a_failing_cluster_poller_is_reported_and_recovers(api):
    watch = "subscription { cluster { queues { depth } } }"
    async with aclosing(api.client.watch(watch)) as stream:
        await anext(stream)
        api.redis.set("unacked", "no hash")
        status = await api.until(503)
        api.redis.delete("unacked")
        await api.client.enqueue("add", x=1, y=2)
        queues = (await anext(stream))["payload"]["data"]["cluster"]["queues"]

    assert status == "cannot read queues and workers (Redis answers with an error)"
    assert 1 in [queue["depth"] for queue in queues]
    assert await api.until(200, 5) == "ready"  # once nobody watches the cluster

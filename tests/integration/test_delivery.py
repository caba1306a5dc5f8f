"""Delivery: no other worker gets a message that a live worker holds."""

from __future__ import annotations

import pytest

from graphql_api.local.redis_server import private_redis
from tests.client import Client
from tests.processes import running_api, running_worker

pytestmark = pytest.mark.slow

WATCH = "subscription($id: ID!) { task(id: $id) { task { state attempt } } }"
WAIT = "mutation { enqueueWait(input: {seconds: 5}) { ... on EnqueueWaitSuccess { task { id } } } }"


@pytest.mark.parametrize("pool", ["solo", "prefork"])
async def test_a_task_longer_than_the_visibility_timeout_runs_once(tmp_path, pool):
    log = tmp_path / "worker.log"
    with private_redis(tmp_path) as url:
        environment = {"REDIS_URL": url, "VISIBILITY_TIMEOUT": "1"}
        with (
            running_worker("celery", environment, log, pool=pool),
            running_api(environment, tmp_path / "api.log") as api,
        ):
            data = await Client(api).execute(WAIT)
            task_id = data["enqueueWait"]["task"]["id"]
            events = await Client(api).events(WATCH, id=task_id)

    assert events[-1]["task"] == {"state": "SUCCEEDED", "attempt": 1}
    assert log.read_text().count(f"[{task_id}] received") == 1


async def test_a_stopping_worker_keeps_the_tasks_that_it_still_runs(tmp_path):
    with private_redis(tmp_path) as url:
        environment = {"REDIS_URL": url, "VISIBILITY_TIMEOUT": "2"}
        with (
            running_api(environment, tmp_path / "api.log") as api,
            running_worker("celery", environment, tmp_path / "first.log") as first,
        ):
            data = await Client(api).execute(WAIT.replace("5", "8"))
            messages = Client(api).watch(WATCH, id=data["enqueueWait"]["task"]["id"])
            async for message in messages:
                event = message["payload"]["data"]["task"]["task"]
                if event["state"] == "RUNNING":
                    break
            first.terminate()
            with running_worker("celery", environment, tmp_path / "second.log"):
                events = [message["payload"]["data"]["task"]["task"] async for message in messages]

    assert events[-1] == {"state": "SUCCEEDED", "attempt": 1}
    assert "received" not in (tmp_path / "second.log").read_text()

"""An API without a worker: another process writes the states that a worker would write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from celeryql.settings import PROJECT_ROOT
from graphql_api.local.redis_server import private_redis
from tests.client import Client
from tests.processes import running_api

# Writes states of the tasks in turn, as a worker would: retries or progress, and at the end a
# success for each. Arguments: kind, total number of events, events per second, ids.
PRODUCE = """
import sys, time
from celery.app.task import Context
from tasks import app

kind, count, rate, *ids = sys.argv[1:]
requests = {
    i: Context({"id": i, "task": "tasks.arithmetic.add", "hostname": "w", "delivery_info": {}})
    for i in ids
}
for task_id, request in requests.items():
    app.backend.mark_as_started(task_id, request=request)
began = time.monotonic()
for n in range(int(count)):
    task_id = ids[n % len(ids)]
    result = {"current": n} if kind == "PROGRESS" else ValueError("again")
    app.backend.store_result(task_id, result, kind, request=requests[task_id])
    time.sleep(max(0.0, began + (n + 1) / float(rate) - time.monotonic()))
for task_id, request in requests.items():
    app.backend.store_result(task_id, 3.0, "SUCCESS", request=request)
"""


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with private_redis(tmp_path_factory.mktemp("streams")) as url:
        yield url


@pytest.fixture(scope="session")
def environment(redis_url: str) -> dict[str, str]:
    return {"REDIS_URL": redis_url}


@pytest.fixture(scope="session")
def client(environment: dict[str, str], logs: Path) -> Iterator[Client]:
    with running_api(environment, logs / "streams.log") as url:
        yield Client(url)


@pytest.fixture
def producing(redis_url: str) -> Callable[..., AbstractContextManager[None]]:
    """Write events from another process, which must have ended at the end of the block.

    Called with kind, how many, how many a second, and the ids.
    """

    @contextmanager
    def produce(kind: str, count: int, rate: float, *ids: str) -> Iterator[None]:
        argv = [sys.executable, "-c", PRODUCE, kind, str(count), str(rate), *ids]
        environment = os.environ | {"REDIS_URL": redis_url}
        with subprocess.Popen(argv, cwd=PROJECT_ROOT, env=environment) as process:
            try:
                yield
                assert process.wait(30) == 0
            finally:
                process.kill()

    return produce


@pytest.fixture
def accept() -> Callable:
    """Enqueue tasks that no worker takes, and return their ids."""

    async def enqueue(client: Client, count: int, tag: str = "stream") -> list[str]:
        item = {"task": {"add": {"x": 1, "y": 2}}, "options": {"tags": [tag]}}
        data = await client.execute(
            "mutation($items: [BatchItemInput!]!) { enqueueBatch(tasks: $items)"
            " { ... on EnqueueBatchSuccess { items { task { id } } } } }",
            items=[item] * count,
        )
        return [accepted["task"]["id"] for accepted in data["enqueueBatch"]["items"]]

    return enqueue

"""Projects with tasks of their own, and tasks whose events come from no worker but a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tasks.engine.embedded import private_redis
from tasks.engine.settings import PROJECT_ROOT
from tests.client import Client
from tests.processes import running_api, running_worker

# Tells of each task in turn what a worker would: that it is tried again, or of its progress; and at
# the very end, that each has succeeded. Arguments: kind, events in all, events a second, ids.
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


@dataclass(frozen=True)
class Place:
    """A running project: its client, its Redis, and how to give it work."""

    client: Client
    redis: Redis
    url: str

    async def enqueue(self, task: str, ledger: Path, options: str = "", **arguments: Any) -> str:
        """Enqueue a task that writes to a ledger, and give its id."""
        pairs = {"ledger": str(ledger)} | arguments
        given = ", ".join(f"{name}: {json.dumps(value)}" for name, value in pairs.items())
        mutation = f"enqueue{task[0].upper()}{task[1:]}"
        success = f"... on E{mutation[1:]}Success {{ task {{ id }} }} ... on Error {{ message }}"
        data = await self.client.execute(
            f"mutation {{ {mutation}(input: {{{given}}} {options}) {{ {success} }} }}"
        )
        return data[mutation]["task"]["id"]

    async def ended(self, task_id: str) -> str:
        """Watch a task to its end, and give its last state."""
        watch = "subscription($id: ID!) { task(id: $id) { task { id state } } }"
        events = await self.client.events(watch, id=task_id)
        return [e["task"]["state"] for e in events if e["task"]["id"] == task_id][-1]

    async def reaches(self, task_id: str, state: str) -> None:
        """Watch a task until it is in a state."""
        watch = "subscription($id: ID!) { task(id: $id) { task { state } } }"
        async for message in self.client.watch(watch, id=task_id):
            if message["payload"]["data"]["task"]["task"]["state"] == state:
                return
        pytest.fail(f"{task_id} ended without having been {state}")


RunningProject = Callable[..., AbstractContextManager[Place]]


@pytest.fixture(scope="session")
def running_project(tmp_path_factory: pytest.TempPathFactory) -> RunningProject:
    """Run a project with a Redis of its own; the worker is of any pool, or none."""

    @contextmanager
    def run(project: Path, *, pool: str | None = "prefork") -> Iterator[Place]:
        folder = tmp_path_factory.mktemp("place")
        with (
            private_redis(folder / "redis") as url,
            Redis.from_url(url, decode_responses=True) as redis,
            running_api({"REDIS_URL": url}, folder / "api.log", project=project) as api,
        ):
            place = Place(Client(api), redis, url)
            if pool is None:
                yield place
                return
            log = folder / "worker.log"
            with running_worker("celery", {"REDIS_URL": url}, log, project=project, pool=pool):
                yield place

    return run


@pytest.fixture
def producing(redis_url: str) -> Callable[..., AbstractContextManager[None]]:
    """Write events from a process of its own, which must have come to its end.

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
    """Have sums accepted that no worker takes; gives their ids."""

    async def enqueue(client: Client, count: int, tag: str = "stream") -> list[str]:
        item = {"task": {"add": {"x": 1, "y": 2}}, "options": {"tags": [tag]}}
        data = await client.execute(
            "mutation($items: [BatchItemInput!]!) { enqueueBatch(tasks: $items)"
            " { ... on EnqueueBatchSuccess { items { task { id } } } } }",
            items=[item] * count,
        )
        return [accepted["task"]["id"] for accepted in data["enqueueBatch"]["items"]]

    return enqueue

"""Runs a project with its own tasks: its own API, worker and Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from graphql_api.local.redis_server import private_redis
from tests.client import Client
from tests.processes import running_api, running_worker
from tests.public import HEADERS, public_environment


@dataclass(frozen=True)
class Site:
    """A running project: its client, its Redis, and its URL."""

    client: Client
    redis: Redis
    url: str

    async def enqueue(
        self, task: str, ledger: Path, options: dict[str, Any] | None = None, **arguments: Any
    ) -> str:
        """Enqueue a task that writes to a ledger, and return its id."""
        return await self.client.enqueue(task, options, ledger=str(ledger), **arguments)

    async def ended(self, task_id: str) -> str:
        """Watch a task to its end, and return its final state."""
        watch = "subscription($id: ID!) { task(id: $id) { task { id state } } }"
        events = await self.client.events(watch, id=task_id)
        return [e["task"]["state"] for e in events if e["task"]["id"] == task_id][-1]

    async def reaches(self, task_id: str, state: str) -> None:
        """Watch a task until it reaches a state."""
        watch = "subscription($id: ID!) { task(id: $id) { task { state } } }"
        async for message in self.client.watch(watch, id=task_id):
            if message["payload"]["data"]["task"]["task"]["state"] == state:
                return
        pytest.fail(f"{task_id} ended without reaching {state}")


@pytest.fixture(scope="session")
def public_host(
    environment: dict[str, str], logs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """The API as a public host serves it, behind a proxy."""
    settings = environment | public_environment(tmp_path_factory.mktemp("public"))
    with running_api(settings, logs / "public.log") as url:
        yield Client(url, HEADERS)


RunningProject = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(scope="session")
def running_project(tmp_path_factory: pytest.TempPathFactory) -> RunningProject:
    """Run a project with its own Redis, and a worker with the given pool, or none."""

    @contextmanager
    def run(project: Path, *, pool: str | None = "prefork") -> Iterator[Site]:
        folder = tmp_path_factory.mktemp("site")
        with (
            private_redis(folder / "redis") as url,
            Redis.from_url(url, decode_responses=True) as redis,
            running_api({"REDIS_URL": url}, folder / "api.log", project=project) as api,
        ):
            site = Site(Client(api), redis, url)
            if pool is None:
                yield site
                return
            log = folder / "worker.log"
            with running_worker("celery", {"REDIS_URL": url}, log, project=project, pool=pool):
                yield site

    return run


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A file that tasks write to, so that runs can be counted without Redis."""
    path = tmp_path / "ledger"
    path.touch()
    return path

"""An installation that a test can break."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.client import Client
from tests.faults.ledger import Ledger
from tests.faults.worker import Worker
from tests.processes import DEADLINE_S, Server, running_api_process, wait_until

ENQUEUE_BATCH = """
mutation($tasks: [BatchItemInput!]!) {
  enqueueBatch(tasks: $tasks) {
    __typename
    ... on EnqueueBatchSuccess { items { task { id } } }
    ... on Unavailable { retryAfterSeconds }
  }
}
"""
FINAL = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED", "EXPIRED"}


@dataclass
class Site:
    """An API, a Redis and workers, in processes that a test can break."""

    project: Path
    folder: Path
    server: Server
    settings: dict[str, str]
    stack: ExitStack
    workers: list[Worker] = field(default_factory=list)
    client: Client = field(init=False)
    api: subprocess.Popen[bytes] = field(init=False)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger")

    def run_api(self) -> None:
        api = running_api_process(self.settings, self.folder / "api.log", project=self.project)
        url, self.api = self.stack.enter_context(api)
        self.client = Client(url)

    def run_worker(self, name: str = "a", pool: str = "prefork", **settings: str) -> Worker:
        worker = Worker(self, name, pool, settings)
        self.workers.append(worker)
        return worker

    @cached_property
    def redis(self) -> Redis:
        return self.stack.enter_context(Redis.from_url(self.server.url, decode_responses=True))

    def clear(self) -> None:
        """Kill the workers and delete all data."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()
        self.redis.flushall()

    async def work(self, keys: list[str], seconds: float) -> dict[str, str]:
        """Enqueue a `work` task for each key, and return their ids by key."""
        ids = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            given = [{"ledger": str(self.ledger.path), "key": k, "seconds": seconds} for k in some]
            ids |= dict(zip(some, await self._enqueue_work(given), strict=True))
        return ids

    async def _enqueue_work(self, given: list[dict[str, Any]]) -> list[str]:
        """Enqueue a batch, again for as long as Redis does not answer the API in time."""
        tasks = [
            {"task": {"work": arguments}, "options": {"idempotencyKey": arguments["key"]}}
            for arguments in given
        ]
        async with asyncio.timeout(DEADLINE_S):
            while True:
                data = await self.client.execute(ENQUEUE_BATCH, tasks=tasks)
                payload = data["enqueueBatch"]
                if payload["__typename"] != "Unavailable":
                    return [item["task"]["id"] for item in payload["items"]]
                await asyncio.sleep(payload["retryAfterSeconds"])

    async def enqueue(
        self, task: str, options: dict[str, Any] | None = None, **arguments: Any
    ) -> str:
        """Enqueue one task that writes to the ledger, and return its id."""
        return await self.client.enqueue(task, options, ledger=str(self.ledger.path), **arguments)

    def states(self) -> Counter[str]:
        """Count the tasks in each state."""
        keys = list(self.redis.scan_iter("celeryql:task:*", count=1_000))
        with self.redis.pipeline() as pipe:
            for key in keys:
                pipe.hget(key, "state")
            return Counter(pipe.execute())

    async def all_end(self, deadline_s: float = DEADLINE_S) -> Counter[str]:
        """Wait until every task has ended, and count the tasks in each state."""
        began = time.monotonic()
        while set(states := self.states()) - FINAL:
            if time.monotonic() - began > deadline_s:
                pytest.fail(f"not all ended within {deadline_s:g} s: {dict(states)}")
            await asyncio.sleep(0.1)
        return states

    def messages_left(self) -> dict[str, int]:
        """Count the messages that are left; empty soon after all tasks have ended."""
        deadline = time.monotonic() + 15
        redis = self.redis
        while True:
            left = {name: redis.hlen(name) for name in ("unacked", "celeryql:outbox")}
            left |= {"index": redis.zcard("unacked_index"), "celery": redis.llen("celery")}
            left = {name: n for name, n in left.items() if n}
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)


@contextmanager
def running_site(project: Path, folder: Path, **settings: str) -> Iterator[Site]:
    """Run an API and its Redis, without a worker yet."""
    server = Server(folder / "redis", fsync_always=True)
    server.start()
    settings = {"REDIS_URL": server.url, "VISIBILITY_TIMEOUT": "2"} | settings
    with ExitStack() as stack:
        stack.callback(server.close)
        site = Site(project, folder, server, settings, stack)
        site.run_api()
        yield site


def wait_for_runs(site: Site, count: int) -> None:
    """Wait until this many runs have begun."""
    wait_until(lambda: len(site.ledger.runs()) >= count, f"{count} runs")

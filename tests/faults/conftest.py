"""A whole installation that can be broken, and a ledger outside of Redis that counts what ran."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from tests.client import Client
from tests.processes import Server, running_api, running_worker, wait_until

TASKS = '''
"""Tasks that write into a ledger what they do."""

import os
import time

from celery import Task

from tasks.engine import app


def write(ledger: str, key: str, what: str) -> None:
    line = f"{key} {what} {os.getpid()} {time.time()}\\n"
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


@app.task(max_retries=19)
def work(ledger: str, key: str, seconds: float) -> str:
    """Take some time."""
    write(ledger, key, "begin")
    time.sleep(seconds)
    write(ledger, key, "end")
    return key


@app.task(max_retries=19)
def follow(ledger: str, key: str, before: str) -> str:
    """Take what the step before gave."""
    write(ledger, key, "begin")
    time.sleep(0.05)
    write(ledger, key, "end")
    return key


@app.task(max_retries=19)
def gather(ledger: str, key: str, before: list[str]) -> str:
    """Take what the steps before gave."""
    write(ledger, key, "begin")
    write(ledger, key, "end")
    return ",".join(before)


@app.task(max_retries=2)
def poison(ledger: str) -> None:
    """Kill the process that runs it."""
    write(ledger, "poison", "begin")
    os._exit(1)
'''
FINAL = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED", "EXPIRED"}


@dataclass(frozen=True)
class Run:
    """One line of the ledger."""

    key: str
    what: str
    pid: int
    at: float


@dataclass
class Ledger:
    """What the tasks wrote: outside of Redis, and appended to by all."""

    path: Path

    def runs(self, what: str = "begin") -> list[Run]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [Run(k, w, int(pid), float(at)) for k, w, pid, at in map(str.split, lines)]
        return [run for run in found if run.what == what]

    def counts(self, what: str = "begin") -> Counter[str]:
        return Counter(run.key for run in self.runs(what))


@dataclass
class Worker:
    """A worker that can be killed, frozen and started again."""

    start: Callable[[], tuple[ExitStack, subprocess.Popen[bytes]]]
    log: Path
    _stack: ExitStack = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._stack, self.process = self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker and its pool processes."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._stack.close()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def is_alive(self) -> bool:
        return self.process.poll() is None


@dataclass
class Site:
    """The installation under test."""

    project: Path
    folder: Path
    server: Server
    settings: dict[str, str]
    stack: ExitStack
    ledger: Ledger
    client: Client = field(init=False)

    def run_api(self, **settings: str) -> None:
        environment = self.settings | settings
        api = running_api(environment, self.folder / "api.log", project=self.project)
        self.client = Client(self.stack.enter_context(api))

    def run_worker(self, name: str = "a", pool: str = "prefork", **settings: str) -> Worker:
        log = self.folder / f"{name}.log"

        def start() -> tuple[ExitStack, subprocess.Popen[bytes]]:
            stack = self.stack.enter_context(ExitStack())
            if log.exists():  # of the process before, whose "ready" would be taken for this one's
                log.rename(f"{log}.{time.time()}")
            worker = running_worker(
                "celery",
                self.settings | settings,
                log,
                project=self.project,
                pool=pool,
                name=name,
                concurrency=2,
            )
            return stack, stack.enter_context(worker)

        return Worker(start, log)

    def redis(self) -> Redis:
        return self.stack.enter_context(Redis.from_url(self.server.url, decode_responses=True))

    async def work(self, keys: list[str], seconds: float) -> dict[str, str]:
        """Enqueue work for each key, and give the ids of what was accepted."""
        operation = (
            "mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) {"
            " ... on EnqueueBatchSuccess { items { task { id } } } } }"
        )
        ids = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            given = [{"ledger": str(self.ledger.path), "key": k, "seconds": seconds} for k in some]
            tasks = [{"task": {"work": arguments}} for arguments in given]
            data = await self.client.execute(operation, tasks=tasks)
            items = data["enqueueBatch"]["items"]
            ids |= {key: item["task"]["id"] for key, item in zip(some, items, strict=True)}
        return ids

    async def enqueue(self, task: str, options: str = "", **arguments: Any) -> str:
        """Enqueue one task, and give its id."""
        pairs = {"ledger": str(self.ledger.path)} | arguments
        given = ", ".join(f"{name}: {json.dumps(value)}" for name, value in pairs.items())
        mutation = f"enqueue{task[0].upper()}{task[1:]}"
        data = await self.client.execute(
            f"mutation {{ {mutation}(input: {{{given}}} {options})"
            f" {{ ... on E{mutation[1:]}Success {{ task {{ id }} }} }} }}"
        )
        return data[mutation]["task"]["id"]

    def states(self) -> Counter[str]:
        """Count the states of all tasks that there are."""
        with Redis.from_url(self.server.url, decode_responses=True) as redis:
            keys = list(redis.scan_iter("celeryql:task:*", count=1_000))
            with redis.pipeline() as pipe:
                for key in keys:
                    pipe.hget(key, "state")
                return Counter(pipe.execute())

    async def all_end(self, deadline_s: float) -> Counter[str]:
        """Wait until every task has ended, and give their states."""
        began = time.monotonic()
        while set(states := self.states()) - FINAL:
            if time.monotonic() - began > deadline_s:
                pytest.fail(f"not all ended within {deadline_s:g} s: {dict(states)}")
            await asyncio.sleep(0.1)
        return states

    def is_empty(self) -> dict[str, int]:
        """Say what is left of messages; nothing should be, once all has ended."""
        with Redis.from_url(self.server.url, decode_responses=True) as redis:
            left = {name: redis.hlen(name) for name in ("unacked", "celeryql:outbox")}
            left |= {"unacked_index": redis.zcard("unacked_index"), "celery": redis.llen("celery")}
        return {name: n for name, n in left.items() if n}


@pytest.fixture(scope="session")
def project(copy_project: Callable[[str], Path]) -> Path:
    return copy_project(TASKS)


@pytest.fixture
def site(project: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """An installation of its own; `@pytest.mark.parametrize("site", [{...}], indirect=True)`."""
    asked = getattr(request, "param", {})
    server = Server(tmp_path / "redis", fsync_always=True)
    server.start()
    settings = {"REDIS_URL": server.url, "VISIBILITY_TIMEOUT": "2"} | asked
    with ExitStack() as stack:
        stack.callback(server.close)
        site = Site(project, tmp_path, server, settings, stack, Ledger(tmp_path / "ledger"))
        site.run_api()
        yield site


def begun(site: Site, count: int) -> None:
    """Wait until so many runs have begun."""
    wait_until(lambda: len(site.ledger.runs()) >= count, f"{count} runs")

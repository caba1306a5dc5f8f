"""A whole installation that can be broken, and a ledger outside of Redis that counts what ran."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from tests.client import Client
from tests.processes import Server, running_api_process, running_worker, wait_until

TASKS = '''
"""Tasks that write into a ledger what they do."""

import builtins
import ctypes
import os
import threading
import time

from celery.worker.control import control_command

from tasks.celery_app import app
from celeryql import Retryable


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


@app.task
def busy(ledger: str, key: str) -> None:
    """Ask to be run again after two seconds, once."""
    write(ledger, key, "begin")
    with open(ledger) as lines:
        if sum(line.startswith(f"{key} begin") for line in lines) == 1:
            raise Retryable("not now", after_s=2)


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


@app.task
def total(values: list[float]) -> float:
    """Add what the members of a chord gave."""
    return sum(values)


@control_command()
def hang(state):
    """Keep the loop of a worker busy for ever."""
    time.sleep(1_000)


@control_command(args=[("error", str)], signature="ERROR")
def break_heartbeat(state, error):
    """Raise something in the thread of the heartbeat, wherever it is."""
    (ident,) = [t.ident for t in threading.enumerate() if t.name == "heartbeat"]
    error = ctypes.py_object(getattr(builtins, error))
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), error)


@app.task(max_retries=2)
def poison(ledger: str) -> None:
    """Kill the process that runs it."""
    write(ledger, "poison", "begin")
    os._exit(1)
'''
WHOLE = os.environ.get("FAULTS") == "whole"  # else fewer kills and mutations, to take less time
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


class Worker:
    """A worker that can be killed, frozen and started again."""

    def __init__(self, site: Site, name: str, pool: str, settings: dict[str, str]) -> None:
        self._site, self.name, self._pool, self._settings = site, name, pool, settings
        self.log = site.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes]
        self._stack = ExitStack()
        self.start()

    def start(self) -> None:
        if self.log.exists():  # of the process before, whose "ready" would be taken for this one's
            self.log.rename(f"{self.log}.{time.time()}")
        worker = running_worker(
            "celery",
            self._site.settings | self._settings,
            self.log,
            project=self._site.project,
            pool=self._pool,
            name=self.name,
            concurrency=2,
        )
        self.process = self._stack.enter_context(worker)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker and its pool processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._stack.close()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def has_run_since(self, since: float) -> bool:
        """Check whether this worker has begun to run a task after a time."""
        pids = {self.process.pid, *(child.pid for child in self.children())}
        return any(run.pid in pids and run.at > since for run in self._site.ledger.runs())


@dataclass
class Site:
    """The installation under test."""

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
        """Kill the workers and forget all."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()
        self.redis.flushall()

    async def work(self, keys: list[str], seconds: float) -> dict[str, str]:
        """Enqueue work for each key, and give the ids of what was accepted."""
        operation = (
            "mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) {"
            " ... on EnqueueBatchSuccess { items { task { id } } } ... on Error { message } } }"
        )
        ids = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            given = [{"ledger": str(self.ledger.path), "key": k, "seconds": seconds} for k in some]
            tasks = [{"task": {"work": arguments}} for arguments in given]
            data = await self.client.execute(operation, tasks=tasks)
            assert "items" in data["enqueueBatch"], data
            items = data["enqueueBatch"]["items"]
            ids |= {key: item["task"]["id"] for key, item in zip(some, items, strict=True)}
        return ids

    async def enqueue(
        self, task: str, options: dict[str, Any] | None = None, **arguments: Any
    ) -> str:
        """Enqueue one task that writes to the ledger, and give its id."""
        return await self.client.enqueue(task, options, ledger=str(self.ledger.path), **arguments)

    def states(self) -> Counter[str]:
        """Count the states of all tasks that there are."""
        keys = list(self.redis.scan_iter("celeryql:task:*", count=1_000))
        with self.redis.pipeline() as pipe:
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
        """Say what is left of messages; nothing should be, soon after all has ended."""
        deadline = time.monotonic() + 15
        redis = self.redis
        while True:
            left = {name: redis.hlen(name) for name in ("unacked", "celeryql:outbox")}
            left |= {"index": redis.zcard("unacked_index"), "celery": redis.llen("celery")}
            left = {name: n for name, n in left.items() if n}
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)


@pytest.fixture(scope="session")
def project(copy_project: Callable[[str], Path]) -> Path:
    return copy_project(TASKS)


@contextmanager
def running_site(project: Path, folder: Path, **settings: str) -> Iterator[Site]:
    """Run an installation, without a worker yet."""
    server = Server(folder / "redis", fsync_always=True)
    server.start()
    settings = {"REDIS_URL": server.url, "VISIBILITY_TIMEOUT": "2"} | settings
    with ExitStack() as stack:
        stack.callback(server.close)
        site = Site(project, folder, server, settings, stack)
        site.run_api()
        yield site


@pytest.fixture(scope="session")
def any_site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(project, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(any_site: Site, tmp_path: Path) -> Iterator[Site]:
    """An installation with nothing in it, and no worker yet."""
    any_site.folder = tmp_path
    yield any_site
    any_site.clear()


def begun(site: Site, count: int) -> None:
    """Wait until so many runs have begun."""
    wait_until(lambda: len(site.ledger.runs()) >= count, f"{count} runs")


def tell(figure: str) -> None:
    """Show what was measured to those who run the tests with `-s`."""
    sys.stdout.write(f"\n  {figure}\n")

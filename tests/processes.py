"""Start the programs under test as a user does, and stop them with their children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from celeryql.settings import PROJECT_ROOT
from graphql_api.local.redis_server import reserve_port, start, stop, write_config

DEADLINE_S = 60.0  # for what takes a few seconds on an idle machine


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until a condition is true, and return its value."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {deadline_s:g} s")


class Server:
    """A Redis that a test can kill, freeze and start again with its data."""

    def __init__(self, folder: Path, *, fsync_always: bool = False) -> None:
        self._config = write_config(folder, fsync_always=fsync_always)
        self.url = self._config.url
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        self._process = start(self._config)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        if hasattr(self, "_process") and self._process.poll() is None:
            self.thaw()
            stop(self._process)

    def messages(self) -> int:
        with Redis.from_url(self.url) as redis:
            waiting: int = redis.llen("celery")
            return waiting


@contextmanager
def running(
    argv: list[str],
    environment: dict[str, str],
    log: Path,
    *,
    project: Path = PROJECT_ROOT,
    python: str = sys.executable,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module as a process, and stop it with its children."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [python, "-m", *argv],
            cwd=project,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def running_worker(
    queue: str,
    environment: dict[str, str],
    log: Path,
    *,
    project: Path = PROJECT_ROOT,
    pool: str | None = None,
    name: str | None = None,
    concurrency: int | None = None,
    options: Sequence[str] = (),
    quiet: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker with Celery's command line, and wait until it is ready."""
    pool = pool or ("solo" if queue == "ml_service" else "prefork")
    node = f"{name or queue}@%h"
    argv = [
        "celery",
        *(["--quiet"] if quiet else []),
        "-A",
        "tasks",
        "worker",
        "-Q",
        queue,
        "-n",
        node,
        "-P",
        pool,
    ]
    if concurrency:
        argv += ["-c", str(concurrency)]
    argv += ["--loglevel", "INFO", *options]
    with running(argv, environment, log, project=project) as process:
        wait_until(
            lambda: process.poll() is not None or " ready." in log.read_text(),
            f"worker {queue} ready",
        )
        assert " ready." in log.read_text(), log.read_text()
        yield process


@contextmanager
def running_api(
    environment: dict[str, str],
    log: Path,
    *,
    project: Path = PROJECT_ROOT,
    port: int | None = None,
) -> Iterator[str]:
    """Run the API, and yield its base URL once it responds."""
    with running_api_process(environment, log, project=project, port=port) as (url, _):
        yield url


@contextmanager
def running_api_process(
    environment: dict[str, str],
    log: Path,
    *,
    project: Path = PROJECT_ROOT,
    port: int | None = None,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the API, and yield its base URL and its process once it responds."""
    port = port or reserve_port()
    argv = ["graphql_api.server", "--port", str(port)]
    with running(argv, environment, log, project=project) as process:
        url = f"http://127.0.0.1:{port}"

        def alive() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return bool(urllib.request.urlopen(f"{url}/healthz", timeout=2).status == 200)
            except OSError:
                return False

        wait_until(alive, "API alive")
        yield url, process


def run_to_end(
    argv: list[str], project: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a project until it exits by itself, with no Redis in reach."""
    return subprocess.run(
        [sys.executable, *argv],
        cwd=project,
        env=os.environ | {"REDIS_URL": "redis://127.0.0.1:1/0"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

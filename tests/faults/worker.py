"""A worker that a test can kill, freeze and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import psutil

from tests.processes import running_worker

if TYPE_CHECKING:
    from tests.faults.site import Site


class Worker:
    """A worker process that a test can kill, freeze and start again."""

    def __init__(self, site: Site, name: str, pool: str, settings: dict[str, str]) -> None:
        self._site, self.name, self._pool, self._settings = site, name, pool, settings
        self.log = site.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes]
        self._stack = ExitStack()
        self.start()

    def start(self) -> None:
        if self.log.exists():  # The previous process has written "ready" to it.
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

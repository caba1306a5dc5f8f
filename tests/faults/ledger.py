"""A file outside of Redis in which tasks record their runs, and the tasks that do so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

TASKS = '''
"""Tasks that record their runs in the ledger."""

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
    """Run for some time."""
    write(ledger, key, "begin")
    time.sleep(seconds)
    write(ledger, key, "end")
    return key


@app.task
def busy(ledger: str, key: str) -> None:
    """Ask for one retry, after two seconds."""
    write(ledger, key, "begin")
    with open(ledger) as lines:
        if sum(line.startswith(f"{key} begin") for line in lines) == 1:
            raise Retryable("not now", after_s=2)


@app.task(max_retries=19)
def follow(ledger: str, key: str, before: str) -> str:
    """Take the result of the previous step."""
    write(ledger, key, "begin")
    time.sleep(0.05)
    write(ledger, key, "end")
    return key


@app.task(max_retries=19)
def gather(ledger: str, key: str, before: list[str]) -> str:
    """Take the results of the previous steps."""
    write(ledger, key, "begin")
    write(ledger, key, "end")
    return ",".join(before)


@app.task
def total(values: list[float]) -> float:
    """Add the results of a chord's members."""
    return sum(values)


@control_command()
def hang(state):
    """Block the worker's event loop."""
    time.sleep(1_000)


@control_command(args=[("error", str)], signature="ERROR")
def break_heartbeat(state, error):
    """Raise an exception in the heartbeat's thread, wherever it is."""
    (ident,) = [t.ident for t in threading.enumerate() if t.name == "heartbeat"]
    error = ctypes.py_object(getattr(builtins, error))
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), error)


@app.task(max_retries=2)
def poison(ledger: str) -> None:
    """Kill the process that runs it."""
    write(ledger, "poison", "begin")
    os._exit(1)
'''


@dataclass(frozen=True)
class Run:
    """One line of the ledger."""

    key: str
    what: str
    pid: int
    at: float


@dataclass
class Ledger:
    """Reads the file to which all tasks of `TASKS` append."""

    path: Path

    def runs(self, what: str = "begin") -> list[Run]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [Run(k, w, int(pid), float(at)) for k, w, pid, at in map(str.split, lines)]
        return [run for run in found if run.what == what]

    def counts(self, what: str = "begin") -> Counter[str]:
        return Counter(run.key for run in self.runs(what))

"""One program under supervision: its process group, its output, and that none of it outlives us.

When to start and stop which program is for `supervisor.py`.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, cast

from graphql_api.local.console import Console

TAIL_LINES = 10
LONGEST_LINE_BYTES = 2**20
PROBE_PAUSE_S = 0.05
PUMP_TIMEOUT_S = 2.0  # a program that left its process group may hold its output open for ever

# The program starts only after the watchdog knows its process group. If we die before that,
# `read` meets the end of its input and nothing is started.
GATE = 'read -r go && exec "$@" </dev/null'

# Reads the process groups that run, one line for all, the last line counts. Its input ends when we
# do, however we end, and then it kills what is left. A shell, so that `pkill python` spares it.
WATCHDOG = """
trap "" HUP INT TERM
while read -r groups; do last=$groups; done
[ -z "$last" ] || kill -s KILL -- $last
"""

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Program:
    """What to run, and how to see that it is ready.

    Attributes:
        ready: a pattern in its output, or a function polled until it returns True; None where
            nobody waits for it.
        environment: on top of our own, without what is `hidden`.
        hidden: variables of ours that the program does not get, in upper case.
        outlasts: the others need it to finish their work, so it is stopped after them.
        ailment: says, while it runs, what keeps it from working; None if nothing does.
    """

    name: str
    argv: tuple[str, ...]
    ready: re.Pattern[str] | Probe | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    outlasts: bool = False
    ailment: Callable[[], Awaitable[str | None]] | None = None
    hidden: frozenset[str] = frozenset()

    def whole_environment(self) -> dict[str, str]:
        """Give all variables that the program starts with."""
        ours = {name: value for name, value in os.environ.items() if self._may_see(name)}
        return {**ours, "PYTHONUNBUFFERED": "1", **self.environment}

    def _may_see(self, name: str) -> bool:
        return name.upper() not in self.hidden  # settings are read in any case


class Watchdog:
    """A tiny process that kills the process groups it guards when this one dies."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._shell = subprocess.Popen(  # noqa: S603  # a constant of this module
            ["/bin/sh", "-c", WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # it must not keep a pipe open that others read
            stderr=subprocess.DEVNULL,
            env={},  # it needs none of the secrets in ours
            text=True,
            start_new_session=True,
        )

    def guard(self, group: int) -> None:
        """Have a process group killed if this process dies."""
        self._groups.add(group)
        self._tell()

    def release(self, group: int) -> None:
        """Forget a process group that has ended, before its number is given to another."""
        self._groups.discard(group)
        self._tell()

    def _tell(self) -> None:
        pipe = cast("IO[str]", self._shell.stdin)
        pipe.write(" ".join(f"-{group}" for group in self._groups) + "\n")
        pipe.flush()

    def close(self) -> None:
        """End it; it kills what it still guards."""
        self._shell.communicate()


class Process:
    """One program, which may be run again after it has ended."""

    def __init__(self, program: Program, console: Console, watchdog: Watchdog) -> None:
        self.program = program
        self.ready = asyncio.Event()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._console = console
        self._watchdog = watchdog
        self._leader: asyncio.subprocess.Process | None = None
        self._is_unwanted = False

    async def run(self) -> int:
        """Start the program and wait for its end, then end what is left of its process group.

        Returns:
            The exit code; the negative number of the signal that killed it.
        """
        self.ready.clear()
        self.tail.clear()
        read_end, write_end = os.pipe()
        pump = asyncio.create_task(self._pump(read_end))
        try:
            leader = await self._start(write_end)
        finally:
            os.close(write_end)
        probe = asyncio.create_task(self._probe())
        code = await leader.wait()
        probe.cancel()
        _signal_group(leader.pid, signal.SIGKILL)
        self._watchdog.release(leader.pid)
        with suppress(TimeoutError):
            await asyncio.wait_for(pump, PUMP_TIMEOUT_S)
        return code

    async def _start(self, output: int) -> asyncio.subprocess.Process:
        # Its output is a pipe of ours: with one of asyncio's, wait() also waits for the program's
        # heirs to close it.
        leader = self._leader = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", GATE, "sh", *self.program.argv),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=self.program.whole_environment(),
            start_new_session=True,
        )
        gate = cast("asyncio.StreamWriter", leader.stdin)
        self._watchdog.guard(leader.pid)
        if not self._is_unwanted:
            gate.write(b"go\n")
        gate.close()
        return leader

    async def _pump(self, read_end: int) -> None:
        reader = asyncio.StreamReader(limit=LONGEST_LINE_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb")
        )
        try:
            while line := await _next_line(reader):
                self._take(line.decode(errors="replace").rstrip())
        finally:
            transport.close()

    def _take(self, line: str) -> None:
        if not line:
            return
        self.tail.append(line)
        self._console.line(self.program.name, line)
        if isinstance(self.program.ready, re.Pattern) and self.program.ready.search(line):
            self.ready.set()

    async def _probe(self) -> None:
        if callable(self.program.ready):
            while not await self.program.ready():  # noqa: ASYNC110  # no event tells us
                await asyncio.sleep(PROBE_PAUSE_S)
            self.ready.set()

    def terminate(self) -> None:
        """Ask the program, not its children, to end in its own time."""
        self._is_unwanted = True
        if self._leader:
            with suppress(ProcessLookupError):
                self._leader.terminate()

    def kill(self) -> None:
        """End the program and its children at once, for good."""
        self._is_unwanted = True
        self.put_down()

    def put_down(self) -> None:
        """End the program and its children at once; it may be run again."""
        if self._leader and self._leader.returncode is None:
            _signal_group(self._leader.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM where only zombies are left
        os.killpg(group, number)


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        return b"(a line of more than a megabyte was left out)"

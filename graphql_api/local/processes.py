"""One supervised program: its process group, its output, and a watchdog that lets none survive us.

`supervisor.py` decides when programs are started and stopped.
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
from typing import IO, TextIO, cast

TAIL_LINES = 10
LONGEST_LINE_BYTES = 2**20
PROBE_PAUSE_S = 0.05
PUMP_TIMEOUT_S = 2.0  # a child that left the process group may keep the output open for ever
NAME_WIDTH = 13  # of "email_service"
COLORS = (36, 33, 32, 35, 34, 96, 93, 92)  # foreground colors of ANSI terminals

# The program starts only after the watchdog knows its process group. If this process dies before,
# `read` fails at the end of its input and nothing is started.
GATE = 'read -r go && exec "$@" </dev/null'

# Each line that it reads lists all running process groups. Its input ends when this process ends,
# for whatever reason, and then it kills the groups of the last line. It is a shell, so that
# `pkill python` does not kill it.
WATCHDOG = """
trap "" HUP INT TERM
while read -r groups; do last=$groups; done
[ -z "$last" ] || kill -s KILL -- $last
"""

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Program:
    """What to run, and how to check that it is ready and works.

    Attributes:
        ready: a pattern in its output, or a function that is polled until it returns True; None if
            nothing waits for it.
        environment: added to our own environment, less the `hidden` variables.
        hidden: variables of our environment that the program does not get, in upper case.
        outlasts: whether it is stopped after the others, which need it to finish their work.
        find_problem: returns why a running program does not work; None if it works.
    """

    name: str
    argv: tuple[str, ...]
    ready: re.Pattern[str] | Probe | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    outlasts: bool = False
    find_problem: Callable[[], Awaitable[str | None]] | None = None
    hidden: frozenset[str] = frozenset()

    def whole_environment(self) -> dict[str, str]:
        """Return all environment variables of the program."""
        ours = {name: value for name, value in os.environ.items() if self._may_see(name)}
        return {**ours, "PYTHONUNBUFFERED": "1", **self.environment}

    def _may_see(self, name: str) -> bool:
        return name.upper() not in self.hidden  # settings ignore case


class PrefixedOutput:
    """Writes the lines of several programs to one stream, each after its program's name."""

    def __init__(self, stream: TextIO, *, colored: bool = False) -> None:
        self._stream: TextIO | None = stream
        self._colored = colored
        self._names: list[str] = []

    def line(self, name: str, text: str) -> None:
        """Write a line of a program."""
        if name not in self._names:
            self._names.append(name)
        head = f"{name:<{NAME_WIDTH}} |"
        if self._colored:
            head = f"\x1b[{COLORS[self._names.index(name) % len(COLORS)]}m{head}\x1b[0m"
        self.say(f"{head} {text}")

    def say(self, text: str) -> None:
        """Write a line of our own; if the reader is gone, send ourselves a hangup signal."""
        if self._stream is None:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except OSError:
            self._stream = None
            signal.raise_signal(signal.SIGHUP)


class Watchdog:
    """A tiny process that kills the process groups it guards if this process dies."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._shell = subprocess.Popen(  # noqa: S603  # a constant of this module
            ["/bin/sh", "-c", WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # an inherited pipe would stay open
            stderr=subprocess.DEVNULL,
            env={},  # our environment holds secrets
            text=True,
            start_new_session=True,
        )

    def guard(self, group: int) -> None:
        """Kill a process group if this process dies."""
        self._groups.add(group)
        self._send_groups()

    def release(self, group: int) -> None:
        """Forget a process group that has ended, before the system reuses its number."""
        self._groups.discard(group)
        self._send_groups()

    def _send_groups(self) -> None:
        pipe = cast("IO[str]", self._shell.stdin)
        pipe.write(" ".join(f"-{group}" for group in self._groups) + "\n")
        pipe.flush()

    def close(self) -> None:
        """End the watchdog, which kills the groups that it still guards."""
        self._shell.communicate()


class Process:
    """A program that may be run several times, one after another."""

    def __init__(self, program: Program, output: PrefixedOutput, watchdog: Watchdog) -> None:
        self.program = program
        self.ready = asyncio.Event()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._output = output
        self._watchdog = watchdog
        self._leader: asyncio.subprocess.Process | None = None
        self._is_unwanted = False

    async def run(self) -> int:
        """Run the program to its end, then kill what is left of its process group.

        Returns:
            The exit code; if a signal killed it, the negative number of the signal.
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

    async def _start(self, output_fd: int) -> asyncio.subprocess.Process:
        # The output is a pipe of our own: with one of asyncio's, `wait` would also wait until all
        # children of the program have closed it.
        leader = self._leader = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", GATE, "sh", *self.program.argv),
            stdin=subprocess.PIPE,
            stdout=output_fd,
            stderr=output_fd,
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
        self._output.line(self.program.name, line)
        if isinstance(self.program.ready, re.Pattern) and self.program.ready.search(line):
            self.ready.set()

    async def _probe(self) -> None:
        if callable(self.program.ready):
            while not await self.program.ready():  # noqa: ASYNC110  # there is no event to await
                await asyncio.sleep(PROBE_PAUSE_S)
            self.ready.set()

    def terminate(self) -> None:
        """Ask the program, but not its children, to end."""
        self._is_unwanted = True
        if self._leader:
            with suppress(ProcessLookupError):
                self._leader.terminate()

    def kill(self) -> None:
        """Kill the program and its children, and do not run it again."""
        self._is_unwanted = True
        self.kill_run()

    def kill_run(self) -> None:
        """Kill the program and its children; it may be run again."""
        if self._leader and self._leader.returncode is None:
            _signal_group(self._leader.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM where only zombies are left
        os.killpg(group, number)


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        return b"(a line of more than a megabyte is left out)"

"""Supervises several programs as one: starts them, restarts them, and stops them on a signal.

SIGINT or SIGTERM asks each program to end and waits for it, and those that others need are asked
last. A second signal kills all of them. `up.py` says which programs make up CeleryQL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from graphql_api.local.processes import PrefixedOutput, Process, Program, Watchdog

READY_TIMEOUT_S = 90.0  # a cold worker on one busy core takes about 20 s
GRACE_S = 10.0  # for the others when one has died: they may wait for it in vain
FIRST_PAUSE_S = 1.0  # before a restart; doubles up to LONGEST_PAUSE_S
LONGEST_PAUSE_S = 30.0
MOST_DEATHS = 5  # in a row, before everything is stopped
CHECK_EVERY_S = 20.0  # longer than a worker needs to start and send a heartbeat
_FAILED_CHECKS = 2  # in a row, before a program is restarted
SETTLED_S = 60.0  # a death after such a long run starts a new row


class StartFailed(Exception):
    """The programs could not be started; the message is one sentence for the user."""


class Supervisor:
    """Runs programs until a signal, and restarts a program that dies, unless it dies too often."""

    def __init__(
        self,
        output: PrefixedOutput,
        *,
        restart: bool = True,
        ready_timeout_s: float = READY_TIMEOUT_S,
        grace_s: float = GRACE_S,
        first_pause_s: float = FIRST_PAUSE_S,
        check_every_s: float = CHECK_EVERY_S,
    ) -> None:
        self._output = output
        self._restart = restart
        self._ready_timeout_s = ready_timeout_s
        self._grace_s = grace_s
        self._first_pause_s = first_pause_s
        self._check_every_s = check_every_s
        self._watchdog = Watchdog()
        self._running: dict[Process, asyncio.Task[int]] = {}
        self._ended = asyncio.Event()
        self._exit_code = 0
        self._has_grace = False
        self._crash: BaseException | None = None

    async def run(self, bring_up: Callable[[], Awaitable[None]]) -> int:
        """Start programs with `bring_up`, wait for a signal or a failure, and stop all programs.

        Returns:
            The exit code: 0 after a signal; 1 after a death, a failed start or a second signal;
            78 (EX_CONFIG) if a program refused its settings.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_signal)
        loop.add_signal_handler(signal.SIGTERM, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which nohup sets
            loop.add_signal_handler(
                signal.SIGHUP, self._finish, 0, "Stopping: the terminal is closed."
            )
        starting = asyncio.ensure_future(bring_up())
        starting.add_done_callback(self._note_failure)
        try:
            await self._ended.wait()
        finally:
            starting.cancel()
            await asyncio.wait([starting])
            await self._stop_all()
            self._watchdog.close()
        if self._crash:
            raise self._crash
        return self._exit_code

    async def start(self, program: Program) -> None:
        """Start a program that is to keep running, and wait until it is ready.

        Raises:
            StartFailed: it was not ready in time.
        """
        process = Process(program, self._output, self._watchdog)
        self._track(process, asyncio.create_task(self._keep_running(process)))
        try:
            async with asyncio.timeout(self._ready_timeout_s):
                await process.ready.wait()
        except TimeoutError as error:
            waited = f"{self._ready_timeout_s:g} s"
            raise StartFailed(f"{program.name} was not ready after {waited}.") from error

    async def complete(self, program: Program) -> int:
        """Run a program that ends on its own, and return its exit code."""
        process = Process(program, self._output, self._watchdog)
        task = asyncio.create_task(process.run())
        self._track(process, task)
        return await asyncio.shield(task)

    def _track(self, process: Process, task: asyncio.Task[int]) -> None:
        self._running[process] = task
        task.add_done_callback(self._note_failure)

    async def _keep_running(self, process: Process) -> int:
        deaths = 0  # in a row
        while True:
            began = time.monotonic()
            code, was_restarted = await self._run_checked(process)
            if self._ended.is_set():
                return code
            if was_restarted:
                continue
            if code == os.EX_CONFIG:  # it would refuse its settings again
                self._finish(code, process.tail[-1] if process.tail else "Stopping.")
                return code
            self._report_death(process, code)
            deaths = 1 if time.monotonic() - began > SETTLED_S else deaths + 1
            if not await self._may_restart(process.program.name, deaths):
                return code

    async def _may_restart(self, name: str, deaths: int) -> bool:
        """Wait before the restart of a dead program; if it died too often, stop the others."""
        if not self._restart or deaths >= MOST_DEATHS:
            self._has_grace = True
            often = f"{name} died {deaths} times in a row. " if self._restart else ""
            self._finish(1, f"{often}Stopping the others.")
            return False
        pause_s = min(self._first_pause_s * 2 ** (deaths - 1), LONGEST_PAUSE_S)
        self._output.say(
            f"{name} restarts in {pause_s:g} s (restart {deaths} of {MOST_DEATHS - 1})."
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), pause_s)
        return not self._ended.is_set()

    async def _run_checked(self, process: Process) -> tuple[int, bool]:
        """Run a program to its end, and kill it if its checks fail.

        Returns:
            Its exit code, and whether it was killed for a restart.
        """
        running = asyncio.create_task(process.run())
        failed = 0  # checks in a row
        while process.program.find_problem and not running.done():
            # A failed check is repeated soon, since heartbeats are old after a machine has slept.
            pause_s = self._check_every_s / 4 if failed else self._check_every_s
            await asyncio.wait([running], timeout=pause_s)
            if not process.ready.is_set() or self._ended.is_set():
                continue
            problem = await process.program.find_problem()
            failed = failed + 1 if problem else 0
            if failed == _FAILED_CHECKS and not (running.done() or self._ended.is_set()):
                self._output.say(f"{process.program.name} {problem}: restarting it.")
                process.kill_run()
                return await running, True
        return await running, False

    def _report_death(self, process: Process, code: int) -> None:
        how = f"exit code {code}" if code >= 0 else f"signal {-code}: {signal.strsignal(-code)}"
        said = "".join(f"\n    {line}" for line in process.tail)
        self._output.say(f"{process.program.name} died ({how}). Its last lines:{said or ' none'}")

    def _on_signal(self) -> None:
        if not self._ended.is_set():
            self._finish(0, "Stopping once running tasks have ended; another Ctrl-C stops at once.")
            return
        self._output.say("Stopping at once.")
        self._exit_code = 1
        for process in self._running:
            process.kill()

    def _finish(self, exit_code: int, sentence: str) -> None:
        if not self._ended.is_set():
            self._output.say(sentence)
            self._exit_code = exit_code
            self._ended.set()

    def _note_failure(self, task: asyncio.Future[None] | asyncio.Task[int]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StartFailed):
            self._finish(1, str(error))
        elif error:
            self._crash = error
            self._finish(1, "Stopping because of an error in the supervisor.")

    async def _stop_all(self) -> None:
        timeout_s = self._grace_s if self._has_grace else None  # a running task may take any time
        for outlasts in (False, True):
            running = {p: t for p, t in self._running.items() if p.program.outlasts is outlasts}
            for process in running:
                process.terminate()
            if running:
                await asyncio.wait(running.values(), timeout=timeout_s)
            for process in running:
                process.kill()
            if running:
                await asyncio.wait(running.values())

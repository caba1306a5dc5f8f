"""Keeps several programs running as one: started together, stopped in order, none left behind.

It knows nothing of what they are; `standalone.py` says what makes up CeleryQL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from graphql_api.local.console import Console
from graphql_api.local.processes import Process, Program, Watchdog

READY_TIMEOUT_S = 90.0  # a cold worker on a busy single core takes about twenty
GRACE_S = 10.0  # for the others when one has died: what they wait for may be the dead one
FIRST_PAUSE_S = 1.0  # before a dead program is started again; doubles up to the longest
LONGEST_PAUSE_S = 30.0
MOST_DEATHS = 5  # in a row, after which starting a program again is given up
TEND_EVERY_S = 20.0  # above the time that a worker needs to start, and to be heard of again
_ILL_LOOKS = 2  # in a row, after which a program is put down
SETTLED_S = 60.0  # a death after such a long life begins a new row


class StartFailed(Exception):
    """The programs cannot be brought up; the message is one sentence for the user."""


class Supervisor:
    """Runs programs until a signal; one that dies is started again, unless it dies too often."""

    def __init__(
        self,
        console: Console,
        *,
        restart: bool = True,
        ready_timeout_s: float = READY_TIMEOUT_S,
        grace_s: float = GRACE_S,
        first_pause_s: float = FIRST_PAUSE_S,
        tend_every_s: float = TEND_EVERY_S,
    ) -> None:
        self._console = console
        self._restart = restart
        self._ready_timeout_s = ready_timeout_s
        self._grace_s = grace_s
        self._first_pause_s = first_pause_s
        self._tend_every_s = tend_every_s
        self._watchdog = Watchdog()
        self._keepers: dict[Process, asyncio.Task[int]] = {}
        self._ended = asyncio.Event()
        self._exit_code = 0
        self._has_grace = False
        self._crash: BaseException | None = None

    async def run(self, bring_up: Callable[[], Awaitable[None]]) -> int:
        """Await `bring_up`, which starts programs, then the end; stop all that was started.

        Returns:
            The exit code: 0 after a signal; 1 after a death, a failed start or a second signal;
            78 (EX_CONFIG) where a program refused its settings.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_signal)
        loop.add_signal_handler(signal.SIGTERM, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
            loop.add_signal_handler(signal.SIGHUP, self._finish, 0, "Stopping: nobody watches.")
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
        """Start a program that runs until the end, and wait until it is ready.

        Raises:
            StartFailed: it takes too long.
        """
        process = Process(program, self._console, self._watchdog)
        self._track(process, asyncio.create_task(self._keep(process)))
        try:
            async with asyncio.timeout(self._ready_timeout_s):
                await process.ready.wait()
        except TimeoutError as error:
            waited = f"{self._ready_timeout_s:g} s"
            raise StartFailed(f"{program.name} was not ready after {waited}.") from error

    async def complete(self, program: Program) -> int:
        """Run a program that ends by itself, and return its exit code."""
        process = Process(program, self._console, self._watchdog)
        task = asyncio.create_task(process.run())
        self._track(process, task)
        return await asyncio.shield(task)

    def _track(self, process: Process, keeper: asyncio.Task[int]) -> None:
        self._keepers[process] = keeper
        keeper.add_done_callback(self._note_failure)

    async def _keep(self, process: Process) -> int:
        deaths = 0  # in a row
        while True:
            began = time.monotonic()
            code, was_ailing = await self._tend(process)
            if self._ended.is_set():
                return code
            if was_ailing:
                continue
            if code == os.EX_CONFIG:  # it has said what is wrong, and would say it again
                self._finish(code, process.tail[-1] if process.tail else "Stopping.")
                return code
            self._report(process, code)
            deaths = 1 if time.monotonic() - began > SETTLED_S else deaths + 1
            if not await self._may_start_again(process.program.name, deaths):
                return code

    async def _may_start_again(self, name: str, deaths: int) -> bool:
        """Wait before a dead program is started again; where it is not, stop the others."""
        if not self._restart or deaths >= MOST_DEATHS:
            self._has_grace = True
            often = f"{name} died {deaths} times in a row. " if self._restart else ""
            self._finish(1, f"{often}Stopping the others.")
            return False
        pause_s = min(self._first_pause_s * 2 ** (deaths - 1), LONGEST_PAUSE_S)
        self._console.say(
            f"{name} is started again in {pause_s:g} s (restart {deaths} of {MOST_DEATHS - 1})."
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), pause_s)
        return not self._ended.is_set()

    async def _tend(self, process: Process) -> tuple[int, bool]:
        """Run a program to its end, and bring that about once it lives but does not work.

        Returns:
            Its exit code, and whether that was the reason.
        """
        running = asyncio.create_task(process.run())
        ill_looks = 0  # in a row
        while process.program.ailment and not running.done():
            # Once more a little later: a machine that slept has had no heartbeat for long, either.
            pause_s = self._tend_every_s / 4 if ill_looks else self._tend_every_s
            await asyncio.wait([running], timeout=pause_s)
            if not process.ready.is_set() or self._ended.is_set():
                continue
            ailment = await process.program.ailment()
            ill_looks = ill_looks + 1 if ailment else 0
            if ill_looks == _ILL_LOOKS and not (running.done() or self._ended.is_set()):
                self._console.say(f"{process.program.name} {ailment}: it is started again.")
                process.put_down()
                return await running, True
        return await running, False

    def _report(self, process: Process, code: int) -> None:
        how = f"exit code {code}" if code >= 0 else f"signal {-code}: {signal.strsignal(-code)}"
        said = "".join(f"\n    {line}" for line in process.tail)
        self._console.say(f"{process.program.name} died ({how}). Its last lines:{said or ' none'}")

    def _on_signal(self) -> None:
        if not self._ended.is_set():
            self._finish(0, "Stopping once running tasks have ended; another Ctrl-C stops at once.")
            return
        self._console.say("Stopping at once.")
        self._exit_code = 1
        for process in self._keepers:
            process.kill()

    def _finish(self, exit_code: int, sentence: str) -> None:
        if not self._ended.is_set():
            self._console.say(sentence)
            self._exit_code = exit_code
            self._ended.set()

    def _note_failure(self, task: asyncio.Future[None] | asyncio.Task[int]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StartFailed):
            self._finish(1, str(error))
        elif error:
            self._crash = error
            self._finish(1, "Stopping because of an error of the supervisor itself.")

    async def _stop_all(self) -> None:
        timeout_s = self._grace_s if self._has_grace else None  # a running task may take for ever
        for outlasts in (False, True):
            keepers = {p: k for p, k in self._keepers.items() if p.program.outlasts is outlasts}
            for process in keepers:
                process.terminate()
            if keepers:
                await asyncio.wait(keepers.values(), timeout=timeout_s)
            for process in keepers:
                process.kill()
            if keepers:
                await asyncio.wait(keepers.values())

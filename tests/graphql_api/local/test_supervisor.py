"""The supervisor starts programs, restarts them, and stops them in order."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from graphql_api.local.processes import PrefixedOutput, Program
from graphql_api.local.supervisor import StartFailed, Supervisor

FOREVER = "while :; do sleep 0.02; done"
DEADLINE_S = 20.0


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def supervise(
    *programs: Program, then: Callable[[], object] = interrupt, **options: float
) -> tuple[int, str]:
    """Start programs in turn, call `then`, and return the exit code and the output."""
    output = io.StringIO()

    async def run() -> int:
        supervisor = Supervisor(PrefixedOutput(output), **options)

        async def bring_up() -> None:
            for program in programs:
                await supervisor.start(program)
            then()

        async with asyncio.timeout(DEADLINE_S):
            return await supervisor.run(bring_up)

    return asyncio.run(run()), output.getvalue()


def program(name: str, script: str, *, outlasts: bool = False, **environment: str) -> Program:
    """Describe a program that is ready when it prints "up"."""
    argv = ("/bin/sh", "-c", script)
    return Program(name, argv, re.compile("up"), environment, outlasts=outlasts)


def lasting(folder: Path) -> Program:
    """Describe a program that runs until it is stopped, and writes its process id to a file."""
    return program("lasting", f"echo $$ > {folder}/pid; echo up; {FOREVER}")


def has_ended(folder: Path) -> bool:
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_a_program_is_ready_when_its_output_says_so() -> None:
    code, output = supervise(program("one", f"sleep 0.1; echo now up; {FOREVER}"))

    assert code == 0
    assert output.startswith("one           | now up\nStopping once running tasks have ended")


def test_a_running_program_that_does_not_work_is_restarted(tmp_path: Path) -> None:
    answers = iter([None, "hears nothing", None, "hears nothing", "hears nothing"])

    async def find_problem() -> str | None:
        answer = next(answers, None)
        if answer is None and len((tmp_path / "runs").read_text().split()) == 2:
            interrupt()
        return answer

    script = f"echo run >> {tmp_path}/runs; echo up; {FOREVER}"
    ailing = Program("one", ("/bin/sh", "-c", script), re.compile("up"), find_problem=find_problem)
    code, output = supervise(ailing, then=lambda: None, check_every_s=0.1)

    assert code == 0
    assert "one hears nothing: restarting it." in output
    assert "died" not in output


def test_a_program_is_ready_when_its_probe_says_so() -> None:
    answers = iter([False, False, True])

    async def probe() -> bool:
        return next(answers)

    supervise(Program("one", ("/bin/sh", "-c", FOREVER), probe))

    assert list(answers) == []


def test_a_program_that_is_not_ready_in_time_stops_the_start() -> None:
    code, output = supervise(program("slow", FOREVER), ready_timeout_s=0.1)

    assert (code, output) == (1, "slow was not ready after 0.1 s.\n")


def test_a_failed_start_stops_the_started_programs(tmp_path: Path) -> None:
    def fail() -> None:
        raise StartFailed("No more.")

    code, output = supervise(lasting(tmp_path), then=fail)

    assert (code, output) == (1, "lasting       | up\nNo more.\n")
    assert has_ended(tmp_path)


def test_an_error_in_the_supervisor_stops_the_started_programs(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        supervise(lasting(tmp_path), then=fail)

    assert has_ended(tmp_path)


def test_a_death_is_reported_and_stops_the_others(tmp_path: Path) -> None:
    weak = program("weak", "echo up; echo last words >&2; exit 3")

    code, output = supervise(lasting(tmp_path), weak, then=lambda: None, restart=False)

    assert code == 1
    assert "weak died (exit code 3). Its last lines:\n    up\n    last words\n" in output
    assert has_ended(tmp_path)


def test_a_program_that_others_need_is_stopped_after_them(tmp_path: Path) -> None:
    script = f"trap 'sleep 0.1; echo $0 stops; exit' TERM; echo up; {FOREVER}"

    _, output = supervise(program("store", script, outlasts=True), program("worker", script))

    assert [line[:6] for line in output.splitlines()[-2:]] == ["worker", "store "]


def test_a_second_signal_kills_programs_that_do_not_end() -> None:
    signal_again = "trap 'echo asked; kill -TERM $PPID' TERM"

    code, output = supervise(program("busy", f"{signal_again}; echo up; {FOREVER}"))

    assert code == 1
    assert "busy          | asked\n" in output
    assert output.endswith("Stopping at once.\n")


def test_after_a_death_the_others_have_little_time_to_end() -> None:
    stuck = program("stuck", f"trap '' TERM; echo up; {FOREVER}")
    began = time.monotonic()

    weak = program("weak", "echo up; exit 1")
    supervise(stuck, weak, then=lambda: None, grace_s=0.1, restart=False)

    assert time.monotonic() - began < 5


def test_a_dead_program_is_restarted(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    weak = program("weak", f"echo run >> {runs}; [ $(wc -l < {runs}) = 3 ] && echo up; exit 5")

    code, output = supervise(weak, first_pause_s=0.01)

    assert code == 0
    assert output.count("weak died (exit code 5)") >= 2
    assert "weak restarts in 0.02 s (restart 2 of 4)." in output


def test_a_program_that_dies_too_often_stops_everything(tmp_path: Path) -> None:
    weak = program("weak", f"echo run >> {tmp_path}/runs; echo up; exit 5")

    code, output = supervise(lasting(tmp_path), weak, then=lambda: None, first_pause_s=0.01)

    assert code == 1
    assert "weak died 5 times in a row. Stopping the others.\n" in output
    assert (tmp_path / "runs").read_text() == 5 * "run\n"
    assert has_ended(tmp_path)


def test_a_program_that_refuses_its_settings_is_not_restarted(tmp_path: Path) -> None:
    weak = program("weak", f"echo run >> {tmp_path}/runs; echo PORT is wrong.; exit {os.EX_CONFIG}")

    code, output = supervise(weak)

    assert code == os.EX_CONFIG
    assert output == "weak          | PORT is wrong.\nPORT is wrong.\n"
    assert (tmp_path / "runs").read_text() == "run\n"


def test_nothing_is_restarted_while_stopping(tmp_path: Path) -> None:
    weak = program("weak", f"echo run >> {tmp_path}/runs; echo up; exit 5")

    supervise(weak, first_pause_s=60)

    assert (tmp_path / "runs").read_text() == "run\n"


def test_complete_returns_the_exit_code_of_a_program() -> None:
    async def run() -> int:
        supervisor = Supervisor(PrefixedOutput(io.StringIO()))
        codes = []

        async def bring_up() -> None:
            codes.append(await supervisor.complete(program("short", "exit 4")))
            interrupt()

        await supervisor.run(bring_up)
        return codes[0]

    assert asyncio.run(run()) == 4


def test_a_hangup_signal_stops_everything_but_kills_nothing(tmp_path: Path) -> None:
    def hang_up() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    try:
        code, output = supervise(lasting(tmp_path), then=hang_up)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert (code, output) == (0, "lasting       | up\nStopping: the terminal is closed.\n")
    assert has_ended(tmp_path)


def test_a_signal_during_the_start_stops_everything(tmp_path: Path) -> None:
    signals = program("two", f"kill -TERM $PPID; {FOREVER}")

    code, _ = supervise(lasting(tmp_path), signals)

    assert code == 0
    assert has_ended(tmp_path)

"""One program under supervision: its output, its children, its end."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
import time
from pathlib import Path

from graphql_api.local.console import Console
from graphql_api.local.processes import LONGEST_LINE_BYTES, Process, Program, Watchdog

FOREVER = "while :; do sleep 0.02; done"
DEADLINE_S = 20.0


def run(script: str, **environment: str) -> tuple[int, str]:
    """Run a shell script to its end; return its exit code and what was printed."""
    output = io.StringIO()

    async def run_process() -> int:
        watchdog = Watchdog()
        program = Program("sh", ("/bin/sh", "-c", script), environment=environment)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await Process(program, Console(output), watchdog).run()
        finally:
            watchdog.close()

    return asyncio.run(run_process()), output.getvalue()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        if not state or state.startswith("Z"):
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} still runs")


def test_its_lines_are_printed_behind_its_name() -> None:
    assert run("echo one; echo; echo two >&2; printf three") == (
        0,
        "sh            | one\nsh            | two\nsh            | three\n",
    )


def test_its_environment_adds_to_ours() -> None:
    _, output = run("echo $GREETING; echo ${PATH:+path}", GREETING="hello")

    assert output == "sh            | hello\nsh            | path\n"


async def test_its_last_lines_are_those_of_the_last_run(tmp_path: Path) -> None:
    script = f"test -e {tmp_path}/begun && exit; touch {tmp_path}/begun; echo first"
    watchdog = Watchdog()
    process = Process(Program("sh", ("/bin/sh", "-c", script)), Console(io.StringIO()), watchdog)

    async with asyncio.timeout(DEADLINE_S):
        await process.run()
        first = list(process.tail)
        await process.run()
    watchdog.close()

    assert (first, list(process.tail)) == (["first"], [])


def test_its_input_is_empty() -> None:
    assert run("cat; echo end") == (0, "sh            | end\n")


def test_its_exit_code_is_told() -> None:
    assert run("exit 7")[0] == 7
    assert run("kill -KILL $$")[0] == -signal.SIGKILL


def test_a_program_that_is_not_there_is_told() -> None:
    code, output = run("exec /nonexistent/program")

    assert code == 127
    assert "/nonexistent/program" in output


def test_an_endless_line_is_left_out() -> None:
    _, output = run(f"head -c {3 * LONGEST_LINE_BYTES} /dev/zero | tr '\\0' x; echo; echo end")

    assert "sh            | (a line of more than a megabyte was left out)\n" in output
    assert output.endswith("sh            | end\n")


def test_its_children_end_with_it(tmp_path: Path) -> None:
    code, _ = run(f"({FOREVER}) & echo $! > {tmp_path}/pid; exit 3")

    assert code == 3
    wait_until_gone(int((tmp_path / "pid").read_text()))


def test_only_the_leader_is_asked_to_stop(tmp_path: Path) -> None:
    child = f"trap 'echo child asked' TERM; echo $$ > {tmp_path}/pid; echo up; {FOREVER}"
    script = f"trap 'echo leader asked; exit' TERM; sh -c \"$CHILD\" & {FOREVER}"
    output = io.StringIO()

    async def run_process() -> None:
        watchdog = Watchdog()
        program = Program("sh", ("/bin/sh", "-c", script), environment={"CHILD": child})
        process = Process(program, Console(output), watchdog)
        async with asyncio.timeout(DEADLINE_S):
            ended = asyncio.create_task(process.run())
            while "up" not in process.tail:  # noqa: ASYNC110  # it has no event for this
                await asyncio.sleep(0.01)
            process.terminate()
            await ended
        watchdog.close()

    asyncio.run(run_process())

    assert "leader asked" in output.getvalue()
    assert "child asked" not in output.getvalue()
    wait_until_gone(int((tmp_path / "pid").read_text()))


def test_what_is_stopped_before_its_start_does_not_run(tmp_path: Path) -> None:
    async def run_process() -> None:
        watchdog = Watchdog()
        program = Program("sh", ("/bin/sh", "-c", f"echo ran > {tmp_path}/ran"))
        process = Process(program, Console(io.StringIO()), watchdog)
        process.terminate()
        await process.run()
        watchdog.close()

    asyncio.run(run_process())

    assert not (tmp_path / "ran").exists()


def test_the_watchdog_kills_what_it_guards_and_nothing_else() -> None:
    def sleeper() -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], start_new_session=True)

    guarded, also_guarded, released = sleeper(), sleeper(), sleeper()
    watchdog = Watchdog()
    for process in (guarded, also_guarded, released):
        watchdog.guard(process.pid)
    watchdog.release(released.pid)

    watchdog.close()

    assert guarded.wait(DEADLINE_S) == also_guarded.wait(DEADLINE_S) == -signal.SIGKILL
    assert released.poll() is None
    released.kill()
    released.wait()

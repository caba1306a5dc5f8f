"""One supervised program: its output, its children and its end; the watchdog."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
import time
from pathlib import Path

from graphql_api.local.processes import (
    LONGEST_LINE_BYTES,
    PrefixedOutput,
    Process,
    Program,
    Watchdog,
)

FOREVER = "while :; do sleep 0.02; done"
DEADLINE_S = 20.0


def run(script: str, **environment: str) -> tuple[int, str]:
    """Run a shell script to its end; return its exit code and output."""
    output = io.StringIO()

    async def run_process() -> int:
        watchdog = Watchdog()
        program = Program("sh", ("/bin/sh", "-c", script), environment=environment)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await Process(program, PrefixedOutput(output), watchdog).run()
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


def test_each_line_of_output_follows_the_name_of_its_program() -> None:
    assert run("echo one; echo; echo two >&2; printf three") == (
        0,
        "sh            | one\nsh            | two\nsh            | three\n",
    )


def test_a_program_gets_our_environment_and_its_own() -> None:
    _, output = run("echo $GREETING; echo ${PATH:+path}", GREETING="hello")

    assert output == "sh            | hello\nsh            | path\n"


async def test_the_kept_lines_are_those_of_the_last_run(tmp_path: Path) -> None:
    script = f"test -e {tmp_path}/begun && exit; touch {tmp_path}/begun; echo first"
    watchdog = Watchdog()
    process = Process(
        Program("sh", ("/bin/sh", "-c", script)), PrefixedOutput(io.StringIO()), watchdog
    )

    async with asyncio.timeout(DEADLINE_S):
        await process.run()
        first = list(process.tail)
        await process.run()
    watchdog.close()

    assert (first, list(process.tail)) == (["first"], [])


def test_the_input_of_a_program_is_empty() -> None:
    assert run("cat; echo end") == (0, "sh            | end\n")


def test_run_returns_the_exit_code_or_the_signal() -> None:
    assert run("exit 7")[0] == 7
    assert run("kill -KILL $$")[0] == -signal.SIGKILL


def test_a_missing_program_is_reported() -> None:
    code, output = run("exec /nonexistent/program")

    assert code == 127
    assert "/nonexistent/program" in output


def test_a_line_of_several_megabytes_is_left_out() -> None:
    _, output = run(f"head -c {3 * LONGEST_LINE_BYTES} /dev/zero | tr '\\0' x; echo; echo end")

    assert "sh            | (a line of more than a megabyte is left out)\n" in output
    assert output.endswith("sh            | end\n")


def test_the_children_of_a_program_end_with_it(tmp_path: Path) -> None:
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
        process = Process(program, PrefixedOutput(output), watchdog)
        async with asyncio.timeout(DEADLINE_S):
            ended = asyncio.create_task(process.run())
            while "up" not in process.tail:  # noqa: ASYNC110  # there is no event to await
                await asyncio.sleep(0.01)
            process.terminate()
            await ended
        watchdog.close()

    asyncio.run(run_process())

    assert "leader asked" in output.getvalue()
    assert "child asked" not in output.getvalue()
    wait_until_gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_is_stopped_before_its_start_does_not_run(tmp_path: Path) -> None:
    async def run_process() -> None:
        watchdog = Watchdog()
        program = Program("sh", ("/bin/sh", "-c", f"echo ran > {tmp_path}/ran"))
        process = Process(program, PrefixedOutput(io.StringIO()), watchdog)
        process.terminate()
        await process.run()
        watchdog.close()

    asyncio.run(run_process())

    assert not (tmp_path / "ran").exists()


def test_the_watchdog_kills_only_the_process_groups_that_it_guards() -> None:
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


def test_the_names_of_programs_line_up() -> None:
    output = io.StringIO()
    printed = PrefixedOutput(output)

    printed.line("api", "one")
    printed.line("email_service", "two")
    printed.say("three")

    assert output.getvalue() == "api           | one\nemail_service | two\nthree\n"


def test_each_program_keeps_its_color() -> None:
    output = io.StringIO()
    printed = PrefixedOutput(output, colored=True)

    for name in ("api", "redis", "api"):
        printed.line(name, "text")

    first, second, third = output.getvalue().splitlines()
    assert first == third == "\x1b[36mapi           |\x1b[0m text"
    assert second == "\x1b[33mredis         |\x1b[0m text"


def test_a_closed_output_sends_one_hangup_signal() -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    hangups = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))
    printed = PrefixedOutput(Closed())
    try:
        printed.say("one")
        printed.say("two")
    finally:
        signal.signal(signal.SIGHUP, before)

    assert hangups == [signal.SIGHUP]

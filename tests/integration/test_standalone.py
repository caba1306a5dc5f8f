"""`./dev up` in a copy of the project: it serves, stops, and leaves nothing behind."""

from __future__ import annotations

import mailbox
import os
import re
import shutil
import signal
import smtplib
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from dotenv import dotenv_values

from celeryql.settings import PROJECT_ROOT
from graphql_api.local.redis_server import reserve_port
from graphql_api.pages.graphiql.build import STAMP, digest

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0
ADD_PATIENTLY = """
import time
from tasks.arithmetic import add
for _ in range(100):
    try:
        print(add.delay(4, 5).get(timeout=30))
        break
    except Exception:
        time.sleep(0.1)
"""
MAKE_BOTH_BUSY = "from tasks.general import wait; [wait.delay(seconds=60) for _ in range(2)]"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Path:
    """A copy of the project with its own `.data`, and stand-ins for what setup creates once."""
    folder = tmp_path_factory.mktemp("project")
    for package in ("celeryql", "graphql_api", "tasks", "ml"):
        shutil.copytree(PROJECT_ROOT / package, folder / package)
    shutil.copytree(model_dir, folder / ".data" / "models")
    (folder / ".data" / "graphiql").mkdir()
    (folder / ".data" / "graphiql" / STAMP).write_text(digest())
    return folder


class Up:
    """One run of `./dev up`."""

    def __init__(self, project: Path, *options: str, **environment: str) -> None:
        self.project = project
        self.log = project / "up.log"
        settings = ("REDIS_URL", "SMTP_HOST", "SMTP_PORT", "MODEL_DIR", "HOST", "PORT")
        inherited = {key: value for key, value in os.environ.items() if key not in settings}
        with self.log.open("wb") as output:
            self.process = psutil.Popen(
                [sys.executable, "-m", "graphql_api.local", *options],
                cwd=project,
                env={**inherited, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"no {what}:\n{self.said()}"
            time.sleep(0.02)

    def until_ready(self) -> None:
        self.until(lambda: "is ready (" in self.said() or self.process.poll() is not None, "start")
        assert self.process.poll() is None, self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def has_said(self, text: str) -> bool:
        return text in self.said()

    def settings(self) -> dict[str, str | None]:
        return dotenv_values(self.project / ".data" / "running.env")

    def family(self) -> list[psutil.Process]:
        return self.process.children(recursive=True)

    def end(self) -> int:
        return self.process.wait(DEADLINE_S)


def running(family: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def up(project: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*options: str, **environment: str) -> Up:
        started.append(Up(project, "--port", str(reserve_port()), *options, **environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def test_it_serves_until_ctrl_c(project: Path, up: Callable[..., Up]) -> None:
    run = up()
    run.until_ready()
    address = re.search(r"GraphiQL +(http://127\.0\.0\.1:\d+)/graphql", run.said())
    settings = run.settings()
    family = run.family()

    assert address
    assert urllib.request.urlopen(f"{address[1]}/readyz").status == 200
    assert stat.S_IMODE((project / ".data" / "running.env").stat().st_mode) == 0o600
    with smtplib.SMTP(str(settings["SMTP_HOST"]), int(str(settings["SMTP_PORT"]))) as smtp:
        smtp.sendmail("a@example.org", ["b@example.org"], "Subject: caught\r\n\r\nHello\r\n")
    mails = mailbox.Maildir(project / ".data" / "mail", create=False)
    assert [mail["subject"] for mail in mails] == ["caught"]
    second = up()
    assert second.end() == 1
    assert f"already runs for this project (process {run.process.pid})" in second.said()

    run.process.send_signal(signal.SIGINT)

    assert run.end() == 0
    assert running(family) == []
    assert not (project / ".data" / "running.env").exists()


def test_kill_9_leaves_no_process_and_the_next_run_starts(
    project: Path, up: Callable[..., Up]
) -> None:
    killed = up()
    killed.until_ready()
    url = str(killed.settings()["REDIS_URL"])
    subprocess.run(
        [sys.executable, "-c", MAKE_BOTH_BUSY],
        cwd=project,
        env={**os.environ, "REDIS_URL": url},
        check=True,
    )
    killed.until(lambda: killed.said().count(" received") == 2, "tasks that run")
    family = killed.family()
    assert len(family) >= 9  # six programs, three children of prefork workers

    killed.process.kill()

    killed.until(lambda: not running(family), "end of all processes")
    assert (project / ".data" / "running.env").exists()
    again = up()
    again.until_ready()
    assert again.settings()["REDIS_URL"] != url
    again.process.send_signal(signal.SIGTERM)
    again.process.send_signal(signal.SIGTERM)  # tasks of the first run may be running
    again.end()


def named(run: Up, word: str) -> psutil.Process:
    """Find the program whose command line contains this word."""
    (found,) = [p for p in run.process.children() if word in " ".join(p.cmdline())]
    return found


def test_a_dead_program_is_restarted(project: Path, up: Callable[..., Up]) -> None:
    run = up()
    run.until_ready()
    url = str(run.settings()["REDIS_URL"])
    redis = f"127.0.0.1:{urlsplit(url).port}"  # the command line of the server contains this

    for name, word in {"celery": "celery@%h", "api": "graphql_api.server", "redis": redis}.items():
        named(run, word).kill()
        sentence = f"{name} restarts in 1 s (restart 1 of 4)."
        run.until(partial(run.has_said, sentence), sentence)

    answer = subprocess.run(
        [sys.executable, "-c", ADD_PATIENTLY],
        cwd=project,
        env={**os.environ, "REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    address = re.search(r"GraphiQL +(http://127\.0\.0\.1:\d+)/graphql", run.said())
    run.until(lambda: is_ready(address[1]), "API")
    run.process.send_signal(signal.SIGINT)

    assert answer.stdout == "9.0\n", answer.stderr
    assert run.end() == 0


def test_no_program_gets_a_secret_that_it_does_not_need(up: Callable[..., Up]) -> None:
    secrets = {"AUTH_JWT_SECRET": "k" * 32, "metrics_token": "m", "SMTP_PASSWORD": "p"}
    run = up(**secrets, SMTP_USERNAME="ann")
    run.until_ready()

    seen = {p.pid: {*p.environ()} & {*secrets, "SMTP_USERNAME", "REDIS_URL"} for p in run.family()}

    api, email = named(run, "graphql_api.server"), named(run, "email_service@%h")
    pool = [email, *email.children()]
    workers = [named(run, "celery@%h"), named(run, "ml_service@%h")]
    assert seen.pop(api.pid) == {"AUTH_JWT_SECRET", "metrics_token", "REDIS_URL"}
    for process in pool:
        assert seen.pop(process.pid) == {"SMTP_PASSWORD", "SMTP_USERNAME", "REDIS_URL"}
    for process in [*workers, *workers[0].children()]:
        assert seen.pop(process.pid) == {"REDIS_URL"}
    assert len(seen) >= 3  # Redis, the mail catcher, the watchdog
    assert set().union(*seen.values()) == set()
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0


def is_ready(api: str) -> bool:
    try:
        return urllib.request.urlopen(f"{api}/readyz", timeout=2).status == 200
    except OSError:
        return False


def test_without_restarts_a_dead_worker_stops_everything(
    up: Callable[..., Up],
) -> None:
    run = up("--no-restart")
    run.until_ready()
    family = run.family()
    worker = named(run, "celery@%h")
    assert worker.children()

    worker.kill()

    assert run.end() == 1
    assert "celery died (signal 9: Killed)." in run.said()
    assert running(family) == []

"""What integration tests share: a private Redis, real workers, a real API, a real mail catcher."""

from __future__ import annotations

import asyncio
import json
import mailbox
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from redis import Redis
from websockets.asyncio.client import connect

from tasks import app
from tasks.engine.embedded import ping_failure, private_redis, reserve_port
from tasks.engine.settings import PROJECT_ROOT, load_settings

DEADLINE_S = 30.0


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until something holds, and give it back."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {deadline_s:g} s")


@contextmanager
def running(
    argv: list[str], environment: dict[str, str], log: Path, *, project: Path = PROJECT_ROOT
) -> Iterator[subprocess.Popen]:
    """Run a Python module as a process of its own, and end it with its children."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *argv],
            cwd=project,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def running_worker(
    queue: str,
    environment: dict[str, str],
    log: Path,
    *,
    project: Path = PROJECT_ROOT,
    pool: str | None = None,
) -> Iterator[subprocess.Popen]:
    """Run a worker with Celery's own command line, ready to consume."""
    pool = pool or ("solo" if queue == "ml_service" else "prefork")
    argv = ["celery", "-A", "tasks", "worker", "-Q", queue, "-n", f"{queue}@%h", "-P", pool]
    argv += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
    with running(argv, environment, log, project=project) as process:
        wait_until(
            lambda: process.poll() is not None or " ready." in log.read_text(),
            f"worker {queue} ready",
        )
        assert process.poll() is None, log.read_text()
        yield process


@contextmanager
def running_api(
    environment: dict[str, str], log: Path, *, project: Path = PROJECT_ROOT
) -> Iterator[str]:
    """Run the API, and give its base URL once it answers."""
    port = reserve_port()
    argv = ["uvicorn", "--factory", "graphql_api.app:create_app", "--port", str(port)]
    argv += ["--timeout-graceful-shutdown", "2"]
    with running(argv, environment, log, project=project) as process:
        url = f"http://127.0.0.1:{port}"

        def alive() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return urllib.request.urlopen(f"{url}/healthz", timeout=2).status == 200
            except OSError:
                return False

        wait_until(alive, "API alive")
        yield url


@dataclass(frozen=True)
class Client:
    """A GraphQL client: HTTP for operations, graphql-transport-ws for subscriptions."""

    url: str

    async def execute(self, operation: str, **variables: Any) -> dict[str, Any]:
        """Run a query or mutation, and give its data."""
        answer = await self.answer(operation, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def answer(self, operation: str, **variables: Any) -> dict[str, Any]:
        """Run a query or mutation, and give the whole answer."""
        async with httpx.AsyncClient(timeout=10) as http:
            body = {"query": operation, "variables": variables}
            return (await http.post(f"{self.url}/graphql", json=body)).json()

    async def enqueue(self, mutation: str, arguments: str) -> str:
        """Enqueue a task with arguments in GraphQL's own notation, and give its id."""
        success = f"... on Enqueue{mutation.removeprefix('enqueue')}Success {{ task {{ id }} }}"
        data = await self.execute(f"mutation {{ {mutation}(input: {arguments}) {{ {success} }} }}")
        return data[mutation]["task"]["id"]

    async def watch(self, operation: str, **variables: Any) -> AsyncIterator[dict[str, Any]]:
        """Subscribe, and give each message but the last, which must be `complete`."""
        url = self.url.replace("http", "ws", 1) + "/graphql"
        async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:
            await socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            payload = {"query": operation, "variables": variables}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            while True:
                async with asyncio.timeout(DEADLINE_S):
                    message = json.loads(await socket.recv())
                if message["type"] == "complete":
                    return
                yield message

    async def events(self, operation: str, **variables: Any) -> list[dict[str, Any]]:
        """Subscribe to `task`, and give all its events."""
        messages = [message async for message in self.watch(operation, **variables)]
        assert all("errors" not in message["payload"] for message in messages), messages
        return [message["payload"]["data"]["task"] for message in messages]


def _live_redis_url() -> str | None:
    """Find the installation that the user runs, whose workers the Celery tests may use."""
    settings = load_settings()
    if "redis_url" in settings.model_fields_set and not ping_failure(settings.redis_url):
        return settings.redis_url
    return None


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    # In memory where there is such a place: a disk that others keep busy can stall the append-only
    # file for longer than the API waits for an answer.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=memory) as folder, private_redis(Path(folder)) as url:
        yield url


@pytest.fixture
def empty_redis(redis_url: str) -> Redis:
    """The private Redis with nothing in it; not for tests whose workers run beside."""
    with Redis.from_url(redis_url.removesuffix("0") + "1", decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="session")
def maildir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mail") / "inbox"


@pytest.fixture(scope="session")
def environment(redis_url: str, maildir: Path, logs: Path) -> Iterator[dict[str, str]]:
    """The settings of the programs under test, with a mail catcher running."""
    port = reserve_port()
    argv = ["aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    argv += ["-c", "aiosmtpd.handlers.Mailbox", str(maildir)]
    with running(argv, {}, logs / "mail.log"):
        yield {"REDIS_URL": redis_url, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port)}


@pytest.fixture(scope="session")
def start_worker(
    request: pytest.FixtureRequest, environment: dict[str, str], logs: Path
) -> Iterator[Callable[[str], None]]:
    """Start the worker of a queue, where it does not run yet."""
    running_queues: set[str] = set()
    with ExitStack() as stack:

        def start(queue: str) -> None:
            if queue in running_queues:
                return
            settings = dict(environment)
            if queue == "ml_service":
                settings["MODEL_DIR"] = str(request.getfixturevalue("model_dir"))
            stack.enter_context(running_worker(queue, settings, logs / f"{queue}.log"))
            running_queues.add(queue)

        yield start


@pytest.fixture(scope="session")
def workers(start_worker: Callable[[str], None], logs: Path) -> dict[str, Path]:
    """The three workers of an installation; their logs by queue."""
    queues = ("celery", "ml_service", "email_service")
    for queue in queues:
        start_worker(queue)
    return {queue: logs / f"{queue}.log" for queue in queues}


@pytest.fixture(scope="session", autouse=True)
def is_live(request: pytest.FixtureRequest) -> bool:
    """Whether plain Celery tests use the installation that the user runs.

    Else the Celery app of this process, whose settings collecting the tests has read, is turned to
    the private Redis: now, before any test can make it connect.
    """
    if not any("celery_workers" in getattr(i, "fixturenames", ()) for i in request.session.items):
        return False
    if _live_redis_url():
        return True
    url, before = request.getfixturevalue("redis_url"), app.conf.broker_url
    app.conf.update(broker_url=url, result_backend=app.conf.result_backend.replace(before, url))
    return False


@pytest.fixture(scope="session")
def celery_workers(
    request: pytest.FixtureRequest, *, is_live: bool
) -> Iterator[Callable[[str], None]]:
    """Have a worker on a queue for plain Celery calls from this process."""
    yield (lambda _: None) if is_live else request.getfixturevalue("start_worker")
    app.close()


@pytest.fixture(scope="session")
def client(environment: dict[str, str], logs: Path) -> Iterator[Client]:
    with running_api(environment, logs / "api.log") as url:
        yield Client(url)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, logs: Path) -> Path:
    """The real spam model, trained once for all tests as a user trains it."""
    folder = tmp_path_factory.mktemp("models")
    argv = ["ml.train_spam_detector", "--out", str(folder / "sms")]
    with running(argv, {}, logs / "training.log") as process:
        assert process.wait(120) == 0, (logs / "training.log").read_text()
    return folder


@pytest.fixture(scope="session")
def copy_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Copy the project, with one more file of tasks."""

    def copy(tasks: str) -> Path:
        project = tmp_path_factory.mktemp("project")
        for package in ("graphql_api", "ml", "tasks"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT_ROOT / package, project / package, ignore=ignore)
        (project / "tasks" / "kitchen.py").write_text(tasks)
        return project

    return copy


@pytest.fixture
def mails(maildir: Path) -> Callable[[str], list[Any]]:
    """Find the mails that the catcher holds by their Message-ID."""

    def find(message_id: str) -> list[Any]:
        return [mail for mail in mailbox.Maildir(maildir) if mail["message-id"] == message_id]

    return find

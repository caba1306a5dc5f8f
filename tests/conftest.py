"""Fixtures for all tests: Redis, workers, an API and a mail catcher, in real processes."""

from __future__ import annotations

import fcntl
import gc
import mailbox
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
from redis import Redis

from celeryql.settings import PROJECT_ROOT, load_settings
from graphql_api.local.redis_server import ping_failure, private_redis, reserve_port
from graphql_api.local.up import DEVELOPER_SETTINGS
from tasks import app
from tests.client import Client
from tests.processes import running, running_api, running_worker

TRAINING_S = 250.0  # on a busy machine; less than pytest's limit for a test

# A busy machine exceeds the default limits, and no test measures the time of one example.
hypothesis.settings.register_profile(
    "default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)


def pytest_collection_finish() -> None:
    # A full garbage collection of everything that was imported blocks event loops for up to half a
    # second, longer than a connection to Redis may take.
    gc.collect()
    gc.freeze()


def _live_redis_url() -> str | None:
    """Return the URL of a running installation whose workers the Celery tests can use."""
    settings = load_settings()
    if "redis_url" in settings.model_fields_set and not ping_failure(settings.redis_url):
        return settings.redis_url
    return None


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    # In memory if possible: a busy disk can block the append-only file for longer than the API
    # waits for a response.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=memory) as folder, private_redis(Path(folder)) as url:
        yield url


@pytest.fixture
def empty_redis(redis_url: str) -> Redis:
    """An empty database of the private Redis, which the workers do not use."""
    with Redis.from_url(redis_url.removesuffix("0") + "1", decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="session")
def maildir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mail") / "inbox"


@pytest.fixture(scope="session")
def environment(redis_url: str, maildir: Path, logs: Path) -> Iterator[dict[str, str]]:
    """The settings of the programs under test, while a mail catcher runs."""
    port = reserve_port()
    argv = ["aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    argv += ["-c", "aiosmtpd.handlers.Mailbox", str(maildir)]
    with running(argv, {}, logs / "mail.log"):
        yield {"REDIS_URL": redis_url, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port)}


@pytest.fixture(scope="session")
def start_worker(
    request: pytest.FixtureRequest, environment: dict[str, str], logs: Path
) -> Iterator[Callable[[str], None]]:
    """Return a function that starts a queue's worker unless it already runs."""
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
    """Run the three workers of an installation, and return their logs by queue."""
    queues = ("celery", "ml_service", "email_service")
    for queue in queues:
        start_worker(queue)
    return {queue: logs / f"{queue}.log" for queue in queues}


@pytest.fixture(scope="session", autouse=True)
def is_live(request: pytest.FixtureRequest) -> bool:
    """Whether the Celery tests use a running installation.

    Otherwise, point the Celery app of this process at the private Redis. That must happen before
    any test connects, because collecting the tests has already read the app's settings.
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
    """Return a function that provides a worker for calls with the Celery app of this process."""
    yield (lambda _: None) if is_live else request.getfixturevalue("start_worker")
    app.close()


@pytest.fixture(scope="session")
def client(one_machine: Client) -> Client:
    """The API for most tests."""
    return one_machine


@pytest.fixture(scope="session")
def one_machine(environment: dict[str, str], logs: Path) -> Iterator[Client]:
    """The API with the settings of `./dev up`, which show developers more than the defaults."""
    shown = dict.fromkeys(map(str.upper, DEVELOPER_SETTINGS), "true")
    with running_api(environment | shown, logs / "api.log") as url:
        yield Client(url)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spam model, trained with its command, once for all processes of a test run."""
    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent  # shared by the processes
    folder, log = run / "trained-models", run / "training.log"
    with (run / "training.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.exists():
            argv = ["ml.train_spam_detector", "--out", str(folder / "sms")]
            with running(argv, {}, log) as process:
                assert process.wait(TRAINING_S) == 0, log.read_text()
    return folder


@pytest.fixture(scope="session")
def copy_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that copies the project and adds a task module."""

    def copy(tasks: str) -> Path:
        project = tmp_path_factory.mktemp("project")
        for package in ("celeryql", "graphql_api", "ml", "tasks"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT_ROOT / package, project / package, ignore=ignore)
        (project / "tasks" / "kitchen.py").write_text(tasks)
        return project

    return copy


@pytest.fixture
def mails(maildir: Path) -> Callable[[str], list[Any]]:
    """Return a function that finds caught mails by their Message-ID."""

    def find(message_id: str) -> list[Any]:
        return [mail for mail in mailbox.Maildir(maildir) if mail["message-id"] == message_id]

    return find

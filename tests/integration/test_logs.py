"""Logs of real programs: JSON lines that share the request id from the API to the workers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from websockets.asyncio.client import connect

from graphql_api.local.redis_server import private_redis
from tests.client import Client
from tests.processes import running_api, running_worker, wait_until

pytestmark = pytest.mark.slow

SECRET = "correct horse battery staple"
TASKS = '''
"""Tasks that log, and a task whose arguments must not be logged."""

import logging
from typing import Annotated

from celery.utils.log import get_task_logger

from tasks.celery_app import app
from celeryql import Retryable, Sensitive

logger = get_task_logger(__name__)


@app.task
def speak(word: str) -> str:
    """Log a word, and print one."""
    logging.getLogger("of.anyone").warning("says %s", word)
    print(f"printed {word}")
    return word


@app.task(max_retries=1)
def stumble() -> int:
    """Succeed at the second attempt."""
    logger.info("stumbles")
    if not stumble.request.retries:
        raise Retryable("once", after_s=0.1)
    return 1


@app.task
def keep(password: Annotated[str, Sensitive], broken: bool = False) -> int:
    """Take a secret."""
    if broken:
        raise RuntimeError("broken")
    return len(password)
'''
STATES = "subscription($id: ID!) { task(id: $id) { task { state } } }"


@dataclass(frozen=True)
class Site:
    """A running project and the logs of its programs."""

    client: Client
    url: str
    api_log: Path
    worker_log: Path

    def find_lines(self, log: Path, **fields: Any) -> list[dict[str, Any]]:
        """Find the lines of a log that contain these fields."""
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if fields.items() <= line.items()]

    def await_worker_lines(self, **fields: Any) -> list[dict[str, Any]]:
        return wait_until(
            lambda: self.find_lines(self.worker_log, **fields), f"a line with {fields}"
        )

    async def ask(self, operation: str, request_id: str | None = None) -> httpx.Response:
        headers = {"X-Request-ID": request_id} if request_id is not None else {}
        async with httpx.AsyncClient(timeout=10) as http:
            url = f"{self.client.url}/graphql"
            return await http.post(url, json={"query": operation}, headers=headers)


@pytest.fixture(scope="module")
def site(
    copy_project: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    project, folder = copy_project(TASKS), tmp_path_factory.mktemp("logs")
    api_log, worker_log = folder / "api.log", folder / "worker.log"
    with private_redis(folder / "redis") as url:
        environment = {"REDIS_URL": url, "LOG_LEVEL": "DEBUG", "PYTHONWARNINGS": "ignore"}
        api = running_api(environment, api_log, project=project)
        # Quiet, because its banner is not a log line.
        worker = running_worker("celery", environment, worker_log, project=project, quiet=True)
        with api as base, worker:
            yield Site(Client(base), url, api_log, worker_log)


async def test_an_accepted_task_is_logged_in_one_line(site):
    success = "... on EnqueueSpeakSuccess { task { id } }"
    mutation = f'mutation {{ enqueueSpeak(input: {{word: "a"}}) {{ {success} }} }}'

    answer = await site.ask(mutation, "mine-1")

    task_id = answer.json()["data"]["enqueueSpeak"]["task"]["id"]
    (line,) = site.find_lines(site.api_log, request_id="mine-1")
    timestamp = line.pop("timestamp")
    assert line == {
        "level": "info",
        "event": "accepted",
        "logger": "celeryql.submission.submitter",
        "request_id": "mine-1",
        "owner": "anonymous",
        "definition": "speak",
        "task_id": task_id,
    }
    assert timestamp.endswith("Z")


async def test_a_query_is_not_logged(site):
    await site.ask("{ queues { name } }", "only-looking")

    assert site.find_lines(site.api_log, request_id="only-looking") == []


async def test_a_batch_is_logged_in_one_line(site):
    item = '{task: {speak: {word: "b"}}}'
    await site.ask(f"mutation {{ enqueueBatch(tasks: [{item}, {item}]) {{ __typename }} }}", "many")

    (line,) = site.find_lines(site.api_log, request_id="many")
    assert (line["event"], line["definition"], line["tasks"]) == ("accepted", "batch", 2)
    assert (
        len(
            wait_until(
                lambda: site.find_lines(site.worker_log, event="says b")[1:], "lines of both tasks"
            )
        )
        == 1
    )


async def test_every_line_of_a_running_task_has_its_request_id(site):
    await site.ask('mutation { enqueueSpeak(input: {word: "c"}) { __typename } }', "mine-2")

    (logged,) = site.await_worker_lines(event="says c")
    (printed,) = site.await_worker_lines(event="printed c")
    (ended,) = wait_until(
        lambda: [
            line
            for line in site.find_lines(site.worker_log, request_id="mine-2")
            if " succeeded in " in line["event"]
        ],
        "Celery's own line",
    )
    assert logged["logger"] == "of.anyone"
    joined = {"request_id": "mine-2", "owner": "anonymous", "definition": "speak"}
    joined |= {"queue": "celery", "task_id": logged["task_id"]}
    assert uuid.UUID(logged["task_id"])
    for line in (logged, printed, ended):
        assert joined.items() <= line.items()


async def test_each_step_and_attempt_of_a_workflow_has_the_request_id(site):
    steps = '{step: {task: {stumble: true}}}, {step: {task: {speak: {word: "d"}}}}'
    steps = steps + ", {group: [{step: {task: {stumble: true}}}, {step: {task: {stumble: true}}}]}"
    await site.ask(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {{chain: [{steps}]}}}})"
        " { __typename ... on Error { message } } }",
        "mine-3",
    )

    def ends() -> list[str]:
        lines = site.find_lines(site.worker_log, request_id="mine-3", owner="anonymous")
        return [line["event"] for line in lines if " succeeded in " in line["event"]]

    wait_until(lambda: len(ends()) == 4, "four steps")
    attempts = site.find_lines(site.worker_log, event="stumbles", request_id="mine-3")
    assert len(attempts) == 6
    assert len({line["task_id"] for line in attempts}) == 3


async def test_the_task_of_a_plain_caller_has_no_request_id(site):
    caller = Celery(broker=site.url)

    caller.send_task("tasks.kitchen.speak", kwargs={"word": "e"})

    (logged,) = site.await_worker_lines(event="says e")
    assert {"request_id", "owner"} & logged.keys() == set()
    assert logged["definition"] == "speak"


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 65, "a\u00e9", '"}{"'])
async def test_a_malformed_request_id_is_replaced(site, sent):
    headers = {} if sent is None else {"X-Request-ID": sent.encode()}
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{site.client.url}/healthz", headers=headers)

    assert uuid.UUID(answer.headers["x-request-id"]).version == 4


async def test_a_socket_responds_with_its_request_id(site):
    url = site.client.url.replace("http", "ws", 1) + "/graphql"
    options = {"subprotocols": ["graphql-transport-ws"]}
    async with connect(url, additional_headers={"X-Request-ID": "ws-1"}, **options) as socket:
        assert socket.response.headers["x-request-id"] == "ws-1"


async def test_no_log_contains_a_sensitive_argument(site):
    task_ids = [
        await site.client.enqueue("keep", password=SECRET),
        await site.client.enqueue("keep", password=SECRET, broken=True),
    ]
    for task_id in task_ids:
        await site.client.events(STATES, id=task_id)
    await site.client.answer("mutation { enqueueKeep(input: {password: 1}) { __typename } }")
    Celery(broker=site.url).send_task("tasks.kitchen.unknown", kwargs={"password": SECRET})

    site.await_worker_lines(level="error", logger="celery.worker.consumer.consumer")
    for log in (site.api_log, site.worker_log):
        assert SECRET not in log.read_text()


def test_plain_lines_can_be_configured(site, tmp_path):
    log = tmp_path / "plain.log"
    environment = {"REDIS_URL": site.url, "LOG_FORMAT": "plain"}
    with running_worker("email_service", environment, log, quiet=True, concurrency=1):
        lines = log.read_text().splitlines()

    (ready,) = [line for line in lines if line.endswith(" ready.")]
    assert "[info     ] email_service@" in ready

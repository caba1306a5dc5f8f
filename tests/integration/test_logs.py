"""Logs of real programs: JSON lines, joined from the request to each run that it leads to."""

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
"""Tasks that say something, and such that must not."""

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
    """A running project, and the logs of its programs."""

    client: Client
    url: str
    api_log: Path
    worker_log: Path

    def said(self, log: Path, **fields: Any) -> list[dict[str, Any]]:
        """Find the lines of a log that have these values."""
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if fields.items() <= line.items()]

    def worker_says(self, **fields: Any) -> list[dict[str, Any]]:
        return wait_until(lambda: self.said(self.worker_log, **fields), f"a line with {fields}")

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
        # Without its banner, which is no line of a log.
        worker = running_worker("celery", environment, worker_log, project=project, quiet=True)
        with api as base, worker:
            yield Site(Client(base), url, api_log, worker_log)


async def test_one_line_tells_of_what_was_accepted(site):
    success = "... on EnqueueSpeakSuccess { task { id } }"
    mutation = f'mutation {{ enqueueSpeak(input: {{word: "a"}}) {{ {success} }} }}'

    answer = await site.ask(mutation, "mine-1")

    task_id = answer.json()["data"]["enqueueSpeak"]["task"]["id"]
    (line,) = site.said(site.api_log, request_id="mine-1")
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


async def test_a_query_leaves_no_line(site):
    await site.ask("{ queues { name } }", "only-looking")

    assert site.said(site.api_log, request_id="only-looking") == []


async def test_a_batch_leaves_one_line(site):
    item = '{task: {speak: {word: "b"}}}'
    await site.ask(f"mutation {{ enqueueBatch(tasks: [{item}, {item}]) {{ __typename }} }}", "many")

    (line,) = site.said(site.api_log, request_id="many")
    assert (line["event"], line["definition"], line["tasks"]) == ("accepted", "batch", 2)
    assert len(wait_until(lambda: site.said(site.worker_log, event="says b")[1:], "both")) == 1


async def test_all_that_is_logged_while_a_task_runs_names_its_request(site):
    await site.ask('mutation { enqueueSpeak(input: {word: "c"}) { __typename } }', "mine-2")

    (said,) = site.worker_says(event="says c")
    (printed,) = site.worker_says(event="printed c")
    (ended,) = wait_until(
        lambda: [
            line
            for line in site.said(site.worker_log, request_id="mine-2")
            if " succeeded in " in line["event"]
        ],
        "Celery's own line",
    )
    assert said["logger"] == "of.anyone"
    joined = {"request_id": "mine-2", "owner": "anonymous", "definition": "speak"}
    joined |= {"queue": "celery", "task_id": said["task_id"]}
    assert uuid.UUID(said["task_id"])
    for line in (said, printed, ended):
        assert joined.items() <= line.items()


async def test_each_step_and_each_attempt_of_a_workflow_names_its_request(site):
    steps = '{step: {task: {stumble: true}}}, {step: {task: {speak: {word: "d"}}}}'
    steps = steps + ", {group: [{step: {task: {stumble: true}}}, {step: {task: {stumble: true}}}]}"
    await site.ask(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {{chain: [{steps}]}}}})"
        " { __typename ... on Error { message } } }",
        "mine-3",
    )

    def ends() -> list[str]:
        lines = site.said(site.worker_log, request_id="mine-3", owner="anonymous")
        return [line["event"] for line in lines if " succeeded in " in line["event"]]

    wait_until(lambda: len(ends()) == 4, "four steps")
    attempts = site.said(site.worker_log, event="stumbles", request_id="mine-3")
    assert len(attempts) == 6
    assert len({line["task_id"] for line in attempts}) == 3


async def test_what_a_plain_caller_sends_has_no_request(site):
    caller = Celery(broker=site.url)

    caller.send_task("tasks.kitchen.speak", kwargs={"word": "e"})

    (said,) = site.worker_says(event="says e")
    assert {"request_id", "owner"} & said.keys() == set()
    assert said["definition"] == "speak"


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 65, "a\u00e9", '"}{"'])
async def test_an_id_that_is_not_well_formed_is_replaced(site, sent):
    headers = {} if sent is None else {"X-Request-ID": sent.encode()}
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{site.client.url}/healthz", headers=headers)

    assert uuid.UUID(answer.headers["x-request-id"]).version == 4


async def test_a_socket_answers_with_its_id(site):
    url = site.client.url.replace("http", "ws", 1) + "/graphql"
    options = {"subprotocols": ["graphql-transport-ws"]}
    async with connect(url, additional_headers={"X-Request-ID": "ws-1"}, **options) as socket:
        assert socket.response.headers["x-request-id"] == "ws-1"


async def test_no_log_holds_a_sensitive_argument(site):
    task_ids = [
        await site.client.enqueue("keep", password=SECRET),
        await site.client.enqueue("keep", password=SECRET, broken=True),
    ]
    for task_id in task_ids:
        await site.client.events(STATES, id=task_id)
    await site.client.answer("mutation { enqueueKeep(input: {password: 1}) { __typename } }")
    Celery(broker=site.url).send_task("tasks.kitchen.unknown", kwargs={"password": SECRET})

    site.worker_says(level="error", logger="celery.worker.consumer.consumer")
    for log in (site.api_log, site.worker_log):
        assert SECRET not in log.read_text()


def test_lines_are_plain_where_that_is_asked_for(site, tmp_path):
    log = tmp_path / "plain.log"
    environment = {"REDIS_URL": site.url, "LOG_FORMAT": "plain"}
    with running_worker("email_service", environment, log, quiet=True, concurrency=1):
        lines = log.read_text().splitlines()

    (ready,) = [line for line in lines if line.endswith(" ready.")]
    assert "[info     ] email_service@" in ready

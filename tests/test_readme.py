"""README.md and docs/ are run: what they print is what happens, and their links lead somewhere."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import aclosing
from enum import Enum
from itertools import pairwise
from typing import Any

import pytest
from redis import Redis

from celeryql.settings import PROJECT_ROOT, Settings
from tests.client import Client
from tests.processes import DEADLINE_S, running_api

README = (PROJECT_ROOT / "README.md").read_text()
PAGES = [*PROJECT_ROOT.glob("*.md"), *(PROJECT_ROOT / "docs").glob("**/*.md")]
SECTIONS = [
    "Spam",
    "E-mail",
    "A chain",
    "A group and a chord: counting words",
    "Moderation",
    "Cancel, retry, later",
    "A subscription",
    "When it is not accepted",
]
GUIDES = ["workflows.md", "watching.md"]  # their operations are run, too
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CURSOR = re.compile(r"\d{13}-\d+")
NAMED = re.compile(rf"{UUID.pattern}|{CURSOR.pattern}")  # what a later operation may name
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")
JUST_ACCEPTED = ("QUEUED", "RUNNING", "SUCCEEDED")  # a worker may be faster than the answer
STATES = "subscription($id: ID!) { task(id: $id) { task { state progress { message } } } }"
OUTPUT = """
query($id: ID!) { task(id: $id) { ... on Workflow { output {
  ... on SendEmailTask { result { messageId } } } } } }
"""
SUM = (
    "mutation { enqueueWorkflow(input: {canvas: {chain: [{step: {task: {add: {x: 4, y: 5}}}},"
    ' {step: {task: {mul: {y: 7}}}}]}}, options: {idempotencyKey: "inside-redis"})'
    " { ... on EnqueueWorkflowSuccess { task { id } } } }"
)
WAIT = (
    "mutation { enqueueWait(input: {seconds: 2}) { ... on EnqueueWaitSuccess { task { id } } } }"
)  # fmt: skip
WAIT_THEN_ADD = (
    "mutation { enqueueWorkflow(input: {canvas: {chain: [{step: {task: {wait: {seconds: 20}}}},"
    " {step: {task: {add: {x: 1}}}}]}}) { ... on EnqueueWorkflowSuccess { task { id } } } }"
)
LATER = (
    'mutation { enqueueEcho(input: {message: "later"}, options: {start: {inSeconds: 60},'
    " expiresInSeconds: 90}) { ... on EnqueueEchoSuccess { task { id } } } }"
)
CANCEL = (
    "mutation($id: ID!) { cancelTask(id: $id, terminate: true)"
    " { ... on CancelTaskSuccess { canceled } } }"
)


def section(title: str) -> str:
    """Read one section of the README."""
    found = re.search(rf"^##+ {title}\n(.*?)(?=^##|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def examples(text: str, language: str) -> list[tuple[str, str]]:
    """Find the fenced blocks of a language, each with the next block: what it prints."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    pairs = pairwise(blocks)
    return [(block, printed) for (name, block), (_, printed) in pairs if name == language]


def documents(text: str) -> list[Any]:
    """Read one JSON document after another; `...` stands for some that were left out."""
    found: list[Any] = []
    while text := text.lstrip():
        is_gap = text.startswith("...")
        document, end = (..., 3) if is_gap else json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


VARYING = {  # members of an answer that differ a little from run to run
    "modelVersion": lambda _: "a version",
    "spamProbability": lambda probability: round(probability, 2),
    "worker": lambda name: name.partition("@")[0],
}


def masked(value: Any, ids: list[str]) -> Any:
    """Replace what differs from run to run; ids and cursors by their order of appearance."""
    if isinstance(value, dict):
        return {k: masked(VARYING[k](v) if k in VARYING else v, ids) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(member, ids) for member in value]
    if not isinstance(value, str):
        return value
    ids += [id_ for id_ in NAMED.findall(value) if id_ not in ids]
    return TIME.sub("a time", NAMED.sub(lambda found: f"id {ids.index(found[0])}", value))


class Transcript:
    """Runs the operations of one section, with the real ids in place of the printed ones."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._printed_ids: list[str] = []
        self._real_ids: list[str] = []

    async def check(self, operation: str, printed: str) -> None:
        """Run one operation, and compare what it answers with what is printed."""
        for printed_id, real_id in zip(self._printed_ids, self._real_ids, strict=True):
            operation = operation.replace(printed_id, real_id)
        expected = masked(documents(printed), self._printed_ids)
        answers = masked(await self._answers(operation, expected), self._real_ids)
        if ... in expected:
            gap = expected.index(...)
            answers[gap : len(answers) - len(expected[gap + 1 :])] = [...]
        assert answers == expected

    async def _answers(self, operation: str, expected: list[Any]) -> list[Any]:
        if operation.startswith("subscription") and "task" not in expected[0]["data"]:
            async with aclosing(self._client.watch(operation)) as messages:  # without an end
                return [(await anext(messages))["payload"] for _ in expected]
        if operation.startswith("subscription"):
            task = expected[0]["data"]["task"]["task"]
            await self._reach(UUID.search(operation)[0], task.get("progress"))
            return [{"data": {"task": event}} for event in await self._client.events(operation)]
        if operation.startswith("query"):
            for task_id in UUID.findall(operation):
                await self._client.events(STATES, id=task_id)
        answer = await self._client.answer(operation)
        for payload in answer["data"].values():
            if operation.startswith("mutation"):
                task = payload.get("task", {})
                task |= {"state": "QUEUED"} if task.get("state") in JUST_ACCEPTED else {}
        return [answer]

    async def _reach(self, task_id: str, progress: dict[str, Any] | None) -> None:
        """Wait until a task has told of this progress, or where there is none, has ended."""
        async with aclosing(self._client.watch(STATES, id=task_id)) as messages:
            async for message in messages:
                told = message["payload"]["data"]["task"]["task"]["progress"]
                if progress and told and told["message"] == progress["message"]:
                    return


def lines(source: str, environment: dict[str, str]) -> list[str]:
    """Run a script in the project folder, and give the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=PROJECT_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.rstrip() for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("title", [*SECTIONS, *GUIDES])
async def test_operations_give_the_printed_answers(client, workers, title):
    transcript = Transcript(client)
    text = (PROJECT_ROOT / "docs" / title).read_text() if title in GUIDES else section(title)

    for operation, printed in examples(text, "graphql"):
        await transcript.check(operation, printed)


@pytest.mark.slow
async def test_the_moderator_gets_the_printed_mail(client, workers, mails):
    text = section("Moderation")
    ((mutation, _),) = examples(text, "graphql")
    *_, printed = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    workflow = (await client.execute(mutation))["enqueueWorkflow"]["task"]["id"]
    await client.events(STATES, id=workflow)
    sent = (await client.execute(OUTPUT, id=workflow))["task"]["output"][0]["result"]

    (mail,) = mails(sent["messageId"])
    assert _without_figures(mail.get_payload(decode=True).decode()) == _without_figures(printed)


def _without_figures(text: str) -> str:
    return re.sub(r"\d+\.\d+|(?<=Model: )\w+", "#", text).strip()


def test_every_operation_is_run():
    run = sum(len(examples(section(title), "graphql")) for title in SECTIONS)

    assert run == README.count("```graphql") > 0


@pytest.mark.slow
async def test_the_curl_command_gives_the_printed_answer(client):
    ((command, printed),) = examples(section("First tasks"), "sh")
    body = json.loads(re.search(r"-d '(.*)'", command)[1])

    assert await client.answer(body["query"]) == json.loads(printed)


@pytest.mark.slow
def test_the_python_client_prints_what_is_printed(client, workers):
    ((source, printed),) = examples(section("From Python"), "python")

    told = lines(source.replace("127.0.0.1:8000", client.url.removeprefix("http://")), {})

    # How much of the beginning is in the snapshot depends on how fast the worker was.
    progress = [line for line in told if line not in ("QUEUED", "RUNNING")]
    assert len(progress) > 5
    assert progress == printed.splitlines()[-len(progress) :]


@pytest.mark.slow
async def test_the_operations_of_the_page_lead_to_a_verdict(client, workers):
    enqueue, watch = re.findall(r"^const \w+ = `(.*?)`;", section("From a browser"), re.M | re.S)

    data = await client.execute(enqueue, message="WINNER! Claim your prize now")
    events = await client.events(watch, id=data["enqueueDetectSpam"]["task"]["id"])

    assert events[-1]["task"]["state"] == "SUCCEEDED"
    assert events[-1]["task"]["result"]["label"] == "SPAM"


@pytest.mark.slow
def test_plain_callers_print_what_is_printed(environment, workers):
    ((source, printed),) = examples(section("Celery by hand"), "python")

    assert lines(source, environment) == printed.splitlines()


@pytest.mark.slow
async def test_a_task_that_one_api_accepted_is_watched_at_another(
    client, workers, environment, logs
):
    with running_api(environment, logs / "other_api.log") as url:
        data = await client.execute(WAIT)
        events = await Client(url).events(STATES, id=data["enqueueWait"]["task"]["id"])

    assert events[0]["task"]["state"] in ("QUEUED", "RUNNING")
    assert events[-1]["task"]["state"] == "SUCCEEDED"


SELDOM_THERE = {  # for a moment after a task is enqueued, or after an outage or a mail
    "celeryql:outbox",
    "celeryql:outbox_index:<list>",
    "celeryql:grace",
    "celeryql:claim:<id>",
    "celeryql:rate:<owner>",
}


@pytest.mark.slow
async def test_redis_holds_the_keys_that_the_docs_list(client, workers, environment):
    text = (PROJECT_ROOT / "docs" / "inside-redis.md").read_text()
    listed = dict(re.findall(r"^\| `([^`]+)` \| (\w+) \|", text, re.MULTILINE))
    ended = (await client.execute(SUM))["enqueueWorkflow"]["task"]["id"]
    await client.events(STATES, id=ended)
    later = (await client.execute(LATER))["enqueueEcho"]["task"]["id"]
    running = await _start(client)

    with Redis.from_url(environment["REDIS_URL"], decode_responses=True) as redis:
        is_kept = {key: redis.ttl(f"celeryql:task:{key}") == -1 for key in (running, later, ended)}
        types = _types(redis)
        async with asyncio.timeout(DEADLINE_S):
            # These are there for at most half a second: until a worker has stopped what it is to
            # stop, and between two sweeps.
            brief = {
                f"celeryql:terminate:{name}" for name in redis.zrange("celeryql:workers", 0, -1)
            }
            while not {"sweep", "terminate"} <= {key.split(":")[1] for key in types if ":" in key}:
                await client.execute(CANCEL, id=running)
                types |= _types(redis, {"celeryql:sweep", *brief})
                running = await _start(client)
        await client.execute(CANCEL, id=running)
        await client.execute(CANCEL, id=later)

    assert list(is_kept.values()) == [True, True, False]
    patterns = {key: re.compile(re.sub(r"<\w+>", "[^:]+", key)) for key in listed}
    for key, pattern in patterns.items():
        found = {types[held] for held in types if pattern.fullmatch(held)}
        assert found == {listed[key]} or (not found and key in SELDOM_THERE), key
    ours = [held for held in types if held.startswith("celeryql:")]
    assert [held for held in ours if not any(p.fullmatch(held) for p in patterns.values())] == []


async def _start(client: Client) -> str:
    """Have a step run, with another waiting for it."""
    workflow = (await client.execute(WAIT_THEN_ADD))["enqueueWorkflow"]["task"]["id"]
    async with aclosing(client.watch(STATES, id=workflow)) as messages:
        async for message in messages:
            if message["payload"]["data"]["task"]["task"]["state"] == "RUNNING":
                break
    return workflow


def _types(redis: Redis, keys: Iterable[str] = ()) -> dict[str, str]:
    """Find what is in Redis, or of some keys; one may go while it is looked at."""
    types = {key: redis.type(key) for key in keys or redis.scan_iter()}
    return {key: type_ for key, type_ in types.items() if type_ != "none"}


def test_the_settings_table_is_the_settings():
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*)`)? +\| (.*) \|$", section("Settings"), re.MULTILINE)

    def default(value: object) -> str:
        plain = value.value if isinstance(value, Enum) else value
        if isinstance(plain, bool | tuple):
            return json.dumps(plain)
        return "" if plain is None else str(plain).removeprefix(f"{PROJECT_ROOT}/")

    assert rows == [
        (name.upper(), default(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\[[^]]*\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.M) if anchor else []
        anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
        assert not anchor or anchor in anchors, target

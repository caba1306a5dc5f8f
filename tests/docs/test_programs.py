"""The commands and programs of the documentation do what the pages say."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest

from celeryql.settings import PROJECT_ROOT
from tests.client import Client
from tests.docs.pages import PAGES, answered, blocks, examples, name_of, page, section
from tests.docs.transcript import STATES, UUID
from tests.processes import DEADLINE_S, running_api

SECRET = "a secret of at least 32 bytes, as tests use it"
COMMANDS = {"bench": "./dev bench"}  # how the pages write a module that is run in another way
WAIT = (
    "mutation { enqueueWait(input: {seconds: 2}) { ... on EnqueueWaitSuccess { task { id } } } }"
)  # fmt: skip
OUTPUT = """
query($id: ID!) { task(id: $id) { ... on Workflow { output {
  ... on SendEmailTask { result { messageId } } } } } }
"""


def run(argv: list[str], environment: dict[str, str]) -> list[str]:
    """Run a program in the project folder, and return the lines that it prints."""
    done = subprocess.run(
        argv,
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
async def test_the_curl_command_gives_the_printed_answer(client):
    ((command, printed),) = examples(section("docs/tutorial.md", "Send an operation"), "sh")
    body = json.loads(re.search(r"-d '(.*)'", command)[1])

    assert await client.answer(body["query"]) == json.loads(printed)


@pytest.mark.slow
def test_the_python_client_prints_what_is_printed(client, workers):
    ((source, printed),) = examples(section("docs/clients.md", "Python"), "python")
    source = source.replace("127.0.0.1:8000", client.url.removeprefix("http://"))

    lines = run([sys.executable, "-c", source], {})

    # How much of the beginning is in the snapshot depends on how fast the worker was.
    progress = [line for line in lines if line not in ("QUEUED", "RUNNING")]
    assert len(progress) > 5
    assert progress == printed.splitlines()[-len(progress) :]


@pytest.mark.slow
async def test_the_operations_of_the_page_lead_to_a_verdict(client, workers):
    text = section("docs/clients.md", "Browser")
    enqueue, watch = re.findall(r"^const \w+ = `(.*?)`;", text, re.MULTILINE | re.DOTALL)

    data = await client.execute(enqueue, message="WINNER! Claim your prize now")
    events = await client.events(watch, id=data["enqueueDetectSpam"]["task"]["id"])

    assert events[-1]["task"]["state"] == "SUCCEEDED"
    assert events[-1]["task"]["result"]["label"] == "SPAM"


@pytest.mark.slow
def test_plain_callers_print_what_is_printed(environment, workers):
    ((source, printed),) = examples(section("docs/celery.md", "Plain callers"), "python")

    assert run([sys.executable, "-c", source], environment) == printed.splitlines()


@pytest.mark.slow
async def test_the_moderator_gets_the_printed_mail(client, workers, mails):
    text = section("docs/tutorial.md", "Three workers: moderation")
    ((mutation, _),) = answered(text)
    *_, printed = [block for language, block in blocks(text) if not language]

    workflow = (await client.execute(mutation))["enqueueWorkflow"]["task"]["id"]
    await client.events(STATES, id=workflow)
    sent = (await client.execute(OUTPUT, id=workflow))["task"]["output"][0]["result"]

    (mail,) = mails(sent["messageId"])
    assert _without_figures(mail.get_payload(decode=True).decode()) == _without_figures(printed)


def _without_figures(text: str) -> str:
    return re.sub(r"\d+\.\d+|(?<=Model: )\w+", "#", text).strip()


@pytest.mark.slow
async def test_a_task_that_one_api_accepted_is_watched_at_another(
    client, workers, environment, logs
):
    with running_api(environment, logs / "other_api.log") as url:
        data = await client.execute(WAIT)
        events = await Client(url).events(STATES, id=data["enqueueWait"]["task"]["id"])

    assert events[0]["task"]["state"] in ("QUEUED", "RUNNING")
    assert events[-1]["task"]["state"] == "SUCCEEDED"


@pytest.mark.slow
async def test_the_token_of_the_page_makes_the_smaller_token(environment, logs):
    text = page("docs/security.md")
    (command,) = [block for _, block in blocks(text) if "jwt.encode" in block]
    source = re.search(r"-c '(.*)'", command, re.DOTALL)[1]
    (mutation,) = [block for language, block in blocks(text) if language == "graphql"]
    settings = environment | {"AUTH_JWT_SECRET": SECRET}

    (token,) = run([sys.executable, "-c", source], settings)
    with running_api(settings, logs / "secured_api.log") as url:
        client = Client(url, {"Authorization": f"Bearer {token}"})
        task_id = await client.enqueue("echo", message="hello")
        data = await client.execute(UUID.sub(task_id, mutation))

    assert data["createToken"]["scopes"] == ["READ"]
    assert data["createToken"]["token"].count(".") == 2


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_name_modules_that_exist(path):
    for module in re.findall(r"python -m ([\w.]+)", path.read_text()):
        assert importlib.util.find_spec(module) or module == "pip", module


@pytest.mark.slow
@pytest.mark.parametrize("module", ["bench", "ml.test_spam_detector", "ml.train_spam_detector"])
def test_commands_use_options_that_exist(module):
    known = run([sys.executable, "-m", module, "--help"], {})
    pattern = rf"{re.escape(COMMANDS.get(module, module))}\b([^`#\n]*)"

    used = [
        re.findall(r"--[a-z-]+", line) for p in PAGES for line in re.findall(pattern, p.read_text())
    ]

    assert any(used)
    assert {name for names in used for name in names} <= {*re.findall(r"--[a-z-]+", str(known))}

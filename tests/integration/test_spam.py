"""Spam detection from the API to the worker: batches with progress, and replaced models."""

from __future__ import annotations

import shutil

import pytest

from graphql_api.local.redis_server import private_redis
from ml.train_spam_detector import main as train
from tests.client import Client
from tests.processes import running_api, running_worker, wait_until

pytestmark = pytest.mark.slow

BATCH = """
mutation($messages: [String!]!) { enqueueDetectSpamBatch(input: {messages: $messages}) {
  ... on EnqueueDetectSpamBatchSuccess { task { id } }
  ... on InvalidInput { problems { path message } } } }
"""
WATCH = """
subscription($id: ID!) { task(id: $id) { task { state progress { current total }
  ... on DetectSpamBatchTask { result { label outOfDomain reasons { term } } } } } }
"""
DETECT = """
mutation($message: String!, $channel: SpamChannel) {
  enqueueDetectSpam(input: {message: $message, channel: $channel}) {
    ... on EnqueueDetectSpamSuccess { task { id } } } }
"""
VERDICT = """
subscription($id: ID!) { task(id: $id) { task { state failure { message }
  ... on DetectSpamTask { result { label modelVersion } } } } }
"""


async def detect(client, message, channel="SMS"):
    answer = await client.execute(DETECT, message=message, channel=channel)
    events = await client.events(VERDICT, id=answer["enqueueDetectSpam"]["task"]["id"])
    return events[-1]["task"]


async def test_a_batch_reports_progress_and_returns_one_verdict_per_message(client, workers):
    messages = ["Txt CLAIM to 80086 to win a FREE prize", "See you at lunch, mum"] * 500

    answer = await client.execute(BATCH, messages=messages)
    events = await client.events(WATCH, id=answer["enqueueDetectSpamBatch"]["task"]["id"])

    tasks = [event["task"] for event in events]
    assert [verdict["label"] for verdict in tasks[-1]["result"]] == ["SPAM", "HAM"] * 500
    steps = [task["progress"] for task in tasks if task["progress"]]
    assert steps[-1] == {"current": 1000.0, "total": 1000.0}
    assert steps == sorted(steps, key=lambda step: step["current"])


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_has_one_to_a_thousand_messages(client, count):
    answer = (await client.execute(BATCH, messages=["Hi"] * count))["enqueueDetectSpamBatch"]

    assert [problem["path"] for problem in answer["problems"]] == [["input", "messages"]]


async def test_a_channel_without_a_model_fails_and_explains_how_to_train_it(client, workers):
    task = await detect(client, "Subject: Hi\n\nLunch?", "EMAIL")

    assert task["state"] == "FAILED"
    assert "python -m ml.train_spam_detector --channel email --out" in task["failure"]["message"]


async def test_a_running_worker_loads_new_models_and_refuses_a_forged_one(tmp_path, model_dir):
    models = shutil.copytree(model_dir, tmp_path / "models")
    few = tmp_path / "few.tsv"
    names = "abcdefghijkl"
    lines = [f"spam\tYou have WON prize {n}! Call" for n in names]
    few.write_text("\n".join([*lines, *(f"ham\tLunch with {n} at one?" for n in names)]))
    log = tmp_path / "worker.log"
    with private_redis(tmp_path / "redis") as url:
        settings = {"REDIS_URL": url, "MODEL_DIR": str(models)}
        with (
            running_api(settings, tmp_path / "api.log") as api,
            running_worker("ml_service", settings, log),
        ):
            client = Client(api)
            versions = [(await detect(client, "Hello"))["result"]["modelVersion"]]
            assert train(["--data", str(few), "--out", str(models / "sms")]) == 0
            versions.append((await detect(client, "Hello"))["result"]["modelVersion"])
            argv = ["--channel", "email", "--data", str(few), "--out", str(models / "email")]
            assert train(argv) == 0
            email = await detect(client, "Subject: Prize\n\nYou have WON prize x! Call", "EMAIL")
            (models / "sms" / "manifest.json").write_text("{}")
            versions.append((await detect(client, "Hello"))["result"]["modelVersion"])
            refusal = f"spam model {versions[1]} stays in use: The spam model in"
            wait_until(lambda: refusal in log.read_text(), "refusal in the worker's log")

    assert versions[0] != versions[1] == versions[2] != email["result"]["modelVersion"]
    assert email["result"]["label"] == "SPAM"

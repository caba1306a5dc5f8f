"""Cancel and retry tasks of real workers; a ledger outside Redis shows what has run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.processes import running, wait_until

pytestmark = pytest.mark.slow

TASKS = '''
"""Tasks that add a line to a ledger in each run."""

import os
import time
from pathlib import Path
from typing import Annotated

from celery import Task
from celery.exceptions import Retry

from tasks.celery_app import app
from celeryql import Retryable, Sensitive


def note(ledger: str, name: str) -> int:
    with Path(ledger).open("a") as file:
        file.write(name + "\\n")
    return Path(ledger).read_text().split().count(name)


@app.task
def nap(ledger: str, name: str, seconds: float = 0) -> str:
    """Sleep."""
    note(ledger, name)
    time.sleep(seconds)
    return name


@app.task
def stumble(ledger: str, name: str, times: int, after: float = 0.01) -> int:
    """Ask for a retry a number of times."""
    if (runs := note(ledger, name)) <= times:
        raise Retryable(f"run {runs} failed", after_s=after)
    return runs


@app.task
def trip(ledger: str, name: str) -> int:
    """Fail in the first run of all."""
    if (runs := note(ledger, name)) == 1:
        raise ValueError("the first time")
    return runs


@app.task
def join(ledger: str, names: list[str]) -> str:
    """Join names."""
    note(ledger, "join")
    return "+".join(names)


@app.task(ignore_result=True)
def nap_quietly(ledger: str, seconds: float) -> None:
    """Sleep, and have no result."""
    note(ledger, "quiet")
    time.sleep(seconds)


@app.task
def leave(ledger: str) -> None:
    """End the process of the worker."""
    note(ledger, "leave")
    os._exit(3)


@app.task(bind=True)
def swallow(self: Task, ledger: str) -> str:
    """Ask for a retry, and catch the exception."""
    try:
        self.retry(countdown=60)
    except Retry:
        note(ledger, "swallowed")
    return "done"


@app.task
def enter(password: Annotated[str, Sensitive]) -> bool:
    """Take a secret."""
    return bool(password)
'''
CANCEL = """
mutation($id: ID!, $terminate: Boolean! = false) { cancelTask(id: $id, terminate: $terminate) {
  __typename
  ... on CancelTaskSuccess { canceled task { state } stillRunning { id } }
  ... on AlreadyFinished { task { state } }
  ... on Error { message }
} }
"""
RETRY = """
mutation($id: ID!, $from: RetryFrom! = START, $key: String) {
  retryTask(id: $id, from: $from, idempotencyKey: $key) {
    __typename
    ... on RetryTaskSuccess { deduplicated task { id state retryOf { id } } }
    ... on InvalidInput { problems { path message } }
    ... on Error { message }
  }
}
"""
WORKFLOW = """
mutation($canvas: CanvasInput!) { enqueueWorkflow(input: {canvas: $canvas}) {
  ... on EnqueueWorkflowSuccess { task { id } } ... on Error { message } } }
"""
STEPS = """
query($id: ID!) { task(id: $id) { state ... on Workflow {
  counts { total queued waiting running succeeded failed canceled skipped }
  steps { key task { id state attempt ... on JoinTask { joined: result } } } } } }
"""


@pytest.fixture(scope="module")
def site(copy_project, running_project):
    with running_project(copy_project(TASKS)) as site:
        yield site


def canvas(ledger: Path, **steps: dict) -> dict:
    """Build steps by key, such as `a={"nap": {...}}`, each with the ledger."""
    made = {}
    for key, task in steps.items():
        ((name, arguments),) = task.items()
        made[key] = {"step": {"key": key, "task": {name: {"ledger": str(ledger)} | arguments}}}
    return made


async def test_a_canceled_queued_task_never_runs(site, ledger):
    busy = [await site.enqueue("nap", ledger, name="busy", seconds=1) for _ in range(2)]
    wait_until(lambda: ledger.read_text().count("busy") == 2, "all workers busy")
    queued = await site.enqueue("nap", ledger, name="late")

    answer = await site.client.execute(CANCEL, id=queued)

    assert answer["cancelTask"] == {
        "__typename": "CancelTaskSuccess", "canceled": 1, "task": {"state": "CANCELED"},
        "stillRunning": [],
    }  # fmt: skip
    for task_id in busy:
        assert await site.ended(task_id) == "SUCCEEDED"
    assert await site.ended(await site.enqueue("nap", ledger, name="next")) == "SUCCEEDED"
    assert "late" not in ledger.read_text()


async def test_a_running_task_goes_on_unless_it_is_terminated(site, ledger):
    task_id = await site.enqueue("nap", ledger, name="a", seconds=20)
    wait_until(ledger.read_text, "task running")

    left = await site.client.execute(CANCEL, id=task_id)
    stopped = await site.client.execute(CANCEL, id=task_id, terminate=True)

    assert (left["cancelTask"]["canceled"], left["cancelTask"]["task"]) == (0, {"state": "RUNNING"})
    assert left["cancelTask"]["stillRunning"] == [{"id": task_id}]
    assert (stopped["cancelTask"]["canceled"], stopped["cancelTask"]["stillRunning"]) == (1, [])
    async with asyncio.timeout(5):
        assert await site.ended(task_id) == "CANCELED"
    assert await site.ended(await site.enqueue("nap", ledger, name="b")) == "SUCCEEDED"
    assert ledger.read_text().split() == ["a", "b"]


async def test_finished_and_unknown_tasks_cannot_be_canceled(site, ledger):
    task_id = await site.enqueue("nap", ledger, name="a")
    await site.ended(task_id)

    ended = await site.client.execute(CANCEL, id=task_id)
    never = await site.client.execute(CANCEL, id="nothing")

    assert ended["cancelTask"]["__typename"] == "AlreadyFinished"
    assert ended["cancelTask"]["task"] == {"state": "SUCCEEDED"}
    assert never["cancelTask"]["__typename"] == "NotFound"


async def test_canceling_a_workflow_cancels_every_unfinished_step(site, ledger):
    steps = canvas(
        ledger,
        quick={"nap": {"name": "quick"}},
        slow={"nap": {"name": "slow", "seconds": 1.5}},
        never={"join": {}},
    )
    chain = [{"group": [steps["quick"], steps["slow"]]}, steps["never"]]
    task_id = (await site.client.execute(WORKFLOW, canvas={"chain": chain}))["enqueueWorkflow"]
    task_id = task_id["task"]["id"]
    wait_until(lambda: ledger.read_text().count("\n") == 2, "both steps running")

    answer = (await site.client.execute(CANCEL, id=task_id))["cancelTask"]

    assert (answer["canceled"], len(answer["stillRunning"])) == (1, 1)
    assert await site.ended(task_id) == "CANCELED"
    workflow = (await site.client.execute(STEPS, id=task_id))["task"]
    states = {step["key"]: step["task"]["state"] for step in workflow["steps"]}
    assert states == {"quick": "SUCCEEDED", "slow": "SUCCEEDED", "never": "CANCELED"}
    assert "join" not in ledger.read_text()


async def test_a_cancellation_that_races_with_the_end_has_one_consistent_outcome(site, ledger):
    async def race(i: int) -> tuple[str, str, str]:
        task_id = await site.enqueue("nap", ledger, name=f"n{i}")
        await asyncio.sleep(i % 7 / 300)  # the race: at any time between the queue and the end
        answer = (await site.client.execute(CANCEL, id=task_id))["cancelTask"]
        return f"n{i}", answer["__typename"], await site.ended(task_id)

    outcomes = [await race(i) for i in range(40)]

    ran = set(ledger.read_text().split())
    for name, answer, state in outcomes:
        if answer == "AlreadyFinished":
            assert (state, name in ran) == ("SUCCEEDED", True)
        else:
            assert (state == "SUCCEEDED") is (name in ran), (name, answer, state)
            assert state in ("SUCCEEDED", "CANCELED")


async def test_a_retry_is_a_new_task_with_the_same_input(site, ledger):
    first = await site.enqueue("trip", ledger, name="a")
    assert await site.ended(first) == "FAILED"

    answers = [
        (await site.client.execute(RETRY, id=first, key="once"))["retryTask"] for _ in range(2)
    ]

    second = answers[0]["task"]
    assert second["id"] != first
    assert second["retryOf"] == {"id": first}
    assert [answer["deduplicated"] for answer in answers] == [False, True]
    assert answers[1]["task"]["id"] == second["id"]
    assert await site.ended(second["id"]) == "SUCCEEDED"
    assert ledger.read_text().split() == ["a", "a"]


async def test_only_failed_steps_are_run_again(site, ledger):
    steps = canvas(
        ledger,
        a={"nap": {"name": "a"}},
        b={"stumble": {"name": "b", "times": 1}},
        c={"trip": {"name": "c"}},
        d={"nap": {"name": "d"}},
        e={"nap": {"name": "e"}},
        end={"join": {}},
    )
    header = [steps["a"], {"chain": [steps["c"], steps["d"]]}, steps["e"]]
    canvas_ = {"chain": [steps["b"], {"chord": {"header": header, "body": steps["end"]}}]}
    data = await site.client.execute(WORKFLOW, canvas=canvas_)
    first = data["enqueueWorkflow"]["task"]["id"]
    assert await site.ended(first) == "FAILED"

    answer = await site.client.execute(RETRY, id=first, **{"from": "FAILED_STEPS"})

    second = answer["retryTask"]["task"]["id"]
    assert await site.ended(second) == "SUCCEEDED"
    workflow = (await site.client.execute(STEPS, id=second))["task"]
    tasks = {step["key"]: step["task"] for step in workflow["steps"]}
    assert {key: task["attempt"] for key, task in tasks.items()} == {
        "b": 2, "a": 1, "c": 1, "d": 1, "e": 1, "end": 1,
    }  # fmt: skip
    assert tasks["end"]["joined"] == "a+d+e"
    assert sorted(ledger.read_text().split()) == ["a", "b", "b", "c", "c", "d", "e", "join"]


async def test_a_whole_workflow_can_be_run_again(site, ledger):
    steps = canvas(ledger, a={"nap": {"name": "a"}}, end={"join": {}})
    canvas_ = {"chord": {"header": [steps["a"]], "body": steps["end"]}}
    data = await site.client.execute(WORKFLOW, canvas=canvas_)
    first = data["enqueueWorkflow"]["task"]["id"]
    assert await site.ended(first) == "SUCCEEDED"

    again = (await site.client.execute(RETRY, id=first))["retryTask"]
    nothing = await site.client.execute(RETRY, id=first, **{"from": "FAILED_STEPS"})

    assert await site.ended(again["task"]["id"]) == "SUCCEEDED"
    assert ledger.read_text().split() == ["a", "join", "a", "join"]
    assert "it has no failed steps" in nothing["retryTask"]["message"]


async def test_a_task_that_cannot_be_retried_is_refused(site, ledger):
    data = await site.client.execute(
        'mutation { enqueueEnter(input: {password: "hush"}) '
        "{ ... on EnqueueEnterSuccess { task { id } } } }"
    )
    secret = data["enqueueEnter"]["task"]["id"]
    await site.ended(secret)
    running = await site.enqueue("nap", ledger, name="a", seconds=1)

    refused = (await site.client.execute(RETRY, id=secret))["retryTask"]
    early = (await site.client.execute(RETRY, id=running))["retryTask"]
    never = (await site.client.execute(RETRY, id="nothing"))["retryTask"]

    assert refused["__typename"] == "InvalidInput"
    assert "sensitive arguments (password), which are not stored" in refused["message"]
    assert (early["__typename"], never["__typename"]) == ("NotFinished", "NotFound")
    await site.ended(running)


async def test_a_task_is_retried_until_it_has_no_attempts_left(site, ledger):
    patient = await site.enqueue("stumble", ledger, name="a", times=2)
    options = {"maxAttempts": 2}
    limited = await site.enqueue("stumble", ledger, options, name="b", times=5)

    assert await site.ended(patient) == "SUCCEEDED"
    assert await site.ended(limited) == "FAILED"
    query = "query($id: ID!) { task(id: $id) { attempt maxAttempts failure { type retryable } } }"
    task = (await site.client.execute(query, id=limited))["task"]
    assert (task["attempt"], task["maxAttempts"]) == (2, 2)
    assert task["failure"] == {"type": "Retryable", "retryable": True}
    assert sorted(ledger.read_text().split()) == ["a", "a", "a", "b", "b"]


async def test_a_task_that_waits_for_its_next_attempt_can_be_canceled(site, ledger):
    task_id = await site.enqueue("stumble", ledger, name="a", times=9, after=60)
    await site.reaches(task_id, "RETRYING")

    answer = (await site.client.execute(CANCEL, id=task_id))["cancelTask"]

    assert (answer["canceled"], answer["task"]["state"]) == (1, "CANCELED")
    assert site.redis.exists("celeryql:scheduled", "celeryql:scheduled_messages") == 0


async def test_a_task_that_ignores_its_result_can_be_terminated(site, ledger):
    task_id = await site.enqueue("napQuietly", ledger, seconds=20)
    wait_until(ledger.read_text, "task running")

    await site.client.execute(CANCEL, id=task_id, terminate=True)

    assert await site.ended(task_id) == "CANCELED"


async def test_a_task_that_kills_its_process_gets_no_extra_attempts(site, ledger):
    options = {"maxAttempts": 2}

    task_id = await site.enqueue("leave", ledger, options)

    assert await site.ended(task_id) == "FAILED"
    query = "query($id: ID!) { task(id: $id) { attempt failure { type message } } }"
    task = (await site.client.execute(query, id=task_id))["task"]
    assert (task["attempt"], task["failure"]["type"]) == (2, "WorkerLostError")
    message = "The worker was lost during attempt 2, the last one allowed"
    assert task["failure"]["message"] == message
    assert ledger.read_text().split() == ["leave"] * 2
    assert await site.ended(await site.enqueue("nap", ledger, name="next")) == "SUCCEEDED"


async def test_a_retry_that_the_body_catches_has_no_effect(site, ledger):
    ids = [await site.enqueue("swallow", ledger) for _ in range(4)]

    assert [await site.ended(task_id) for task_id in ids] == ["SUCCEEDED"] * 4
    assert site.redis.exists("celeryql:scheduled", "celeryql:scheduled_messages") == 0


async def test_revoking_a_workflow_with_celery_does_not_end_it(site, ledger):
    steps = canvas(ledger, a={"nap": {"name": "a", "seconds": 1}}, end={"join": {}})
    asked = {"chord": {"header": [steps["a"]], "body": steps["end"]}}
    data = await site.client.execute(WORKFLOW, canvas=asked)
    task_id = data["enqueueWorkflow"]["task"]["id"]
    wait_until(ledger.read_text, "task running")

    with running_celery(site, ledger.with_name("control.log"), "control", "revoke", task_id):
        assert await site.ended(task_id) == "SUCCEEDED"

    states = {
        s["task"]["state"] for s in (await site.client.execute(STEPS, id=task_id))["task"]["steps"]
    }
    assert states == {"SUCCEEDED"}


async def test_revoking_an_unknown_id_creates_no_task(site, ledger):
    with running_celery(site, ledger.with_name("control.log"), "control", "revoke", "never") as it:
        assert it.wait(30) == 0
    wait_until(
        lambda: site.redis.exists("celery-task-meta-never"), "revocation stored by the worker"
    )

    assert (await site.client.execute(STEPS, id="never"))["task"] is None


def running_celery(site, log: Path, *words: str):
    return running(["celery", "-A", "tasks", *words], {"REDIS_URL": site.url}, log)

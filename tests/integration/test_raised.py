"""Whatever a body raises, its task fails with that name and text, and the worker goes on."""

from __future__ import annotations

import json

import pytest

from tests.processes import wait_until

pytestmark = pytest.mark.slow

TASKS = '''
"""Tasks that fail in every way."""

import asyncio
import sys
import threading
from typing import Annotated

from celery import Task
from celery.exceptions import Ignore, Retry, WorkerShutdown
from greenlet import GreenletExit
from pydantic import AfterValidator

from tasks.celery_app import app
from celeryql import Retryable


class CardDeclined(Exception):
    """Passes only one of its two arguments on, so unpickling it fails."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Unreachable(OSError):
    """Passes only one of its two arguments on; its base class can be pickled."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)


class Busy(Retryable):
    """Takes other arguments than a text."""

    def __init__(self, service: str, code: int) -> None:
        super().__init__(f"{service} is busy", after_s=0.1)


class Mute(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError


class Locked(Exception):
    """Cannot be pickled, because it holds a lock."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def local() -> Exception:
    class Inner(Exception):
        pass

    return Inner("made here")


def chained() -> BaseException:
    try:
        raise CardDeclined("no funds", 51)
    except CardDeclined as declined:
        error = Unreachable("the bank", 2)
        error.__cause__ = declined
        return error


RAISED = {
    "exit": SystemExit("cannot go on"),
    "code": SystemExit(3),
    "interrupt": KeyboardInterrupt("stop"),
    "generator": GeneratorExit("closed"),
    "canceled": asyncio.CancelledError("left"),
    "greenlet": GreenletExit("gone"),
    "memory": MemoryError("too much"),
    "shutdown": WorkerShutdown(0),
    "declined": CardDeclined("no funds", 51),
    "chained": chained(),
    "group": ExceptionGroup("both", [CardDeclined("no funds", 51), ValueError("b")]),
    "exit group": BaseExceptionGroup("both", [SystemExit("a"), ValueError("b")]),
    "local": local(),
    "mute": Mute(),
    "locked": Locked("the door"),
    "file": FileNotFoundError(2, "No such file", "/x"),
    "busy": Busy("the printer", 3),
    "by hand": Retry("later"),
    "ignored": Ignore("never mind"),
}


@app.task(max_retries=1)
def fail(how: str) -> str:
    """Fail."""
    raise RAISED[how]


@app.task
def give_up(text: str) -> str:
    """Exit, as some libraries do."""
    sys.exit(text)


@app.task(bind=True, max_retries=1, autoretry_for=(CardDeclined,), retry_kwargs={"countdown": 0.1})
def insist(self: Task, how: str) -> str:
    """Fail twice."""
    raise RAISED[how]


def exiting(text: str) -> str:
    if text == "exit":
        sys.exit("not this one")
    return text


@app.task
def check(text: Annotated[str, AfterValidator(exiting)]) -> str:
    """Return what its validator accepts."""
    return text
'''
CHECKED_IN_THE_WORKER = """
mutation {
  enqueueWorkflow(input: {canvas: {chain: [
    {step: {task: {echo: {message: "exit"}}}} {step: {task: {check: {}}}}
  ]}}) { ... on EnqueueWorkflowSuccess { task { id } } }
}
"""
FAILURES = {
    "exit": ("SystemExit", "cannot go on"),
    "code": ("SystemExit", "3"),
    "interrupt": ("KeyboardInterrupt", "stop"),
    "generator": ("GeneratorExit", "closed"),
    "canceled": ("CancelledError", "left"),
    "greenlet": ("GreenletExit", "gone"),
    "memory": ("MemoryError", "too much"),
    "shutdown": ("WorkerShutdown", "0"),
    "declined": ("CardDeclined", "no funds"),
    "chained": ("Unreachable", "the bank"),
    "group": ("ExceptionGroup", "both (2 sub-exceptions)"),
    "exit group": ("BaseExceptionGroup", "both (2 sub-exceptions)"),
    "local": ("Inner", "made here"),
    "mute": ("Mute", "Mute has no text: its __str__ raised RuntimeError"),
    "locked": ("Locked", "the door"),
    "file": ("FileNotFoundError", "[Errno 2] No such file: '/x'"),
    "busy": ("Busy", "the printer is busy"),
    "by hand": ("Retry", "later"),
    "ignored": ("Ignore", "never mind"),
}
FAILED_TASK = (
    "query($id: ID!) { task(id: $id) { state attempt failure { type message retryable } } }"
)


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project(TASKS)


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads", "gevent", "eventlet"])
async def test_a_task_fails_with_what_its_body_raised(project, running_project, pool):
    with running_project(project, pool=pool) as site:
        ids = {how: await site.client.enqueue("fail", how=how) for how in FAILURES}
        ids["give up"] = await site.client.enqueue("giveUp", text="cannot go on")
        ids["insist"] = await site.client.enqueue("insist", how="declined")
        for _ in range(3):  # more than a thread pool has threads
            workflow = (await site.client.execute(CHECKED_IN_THE_WORKER))["enqueueWorkflow"][
                "task"
            ]["id"]
            assert await site.ended(workflow) == "FAILED"
        checked = (await site.client.execute(FAILED_TASK, id=workflow))["task"]["failure"]
        after = await site.client.enqueue("echo", message="still here")
        states = [await site.ended(task_id) for task_id in [*ids.values(), after]]
        tasks = {h: (await site.client.execute(FAILED_TASK, id=i))["task"] for h, i in ids.items()}
        wait_until(lambda: site.redis.hlen("unacked") == 0, "all messages acknowledged")
        metas = {h: json.loads(site.redis.get(f"celery-task-meta-{i}")) for h, i in ids.items()}

    assert (checked["type"], checked["message"]) == ("SystemExit", "not this one")
    failures = {how: (t["failure"]["type"], t["failure"]["message"]) for how, t in tasks.items()}
    others = {"give up": ("SystemExit", "cannot go on"), "insist": ("CardDeclined", "no funds")}
    assert states == ["FAILED"] * len(ids) + ["SUCCEEDED"]
    assert failures == FAILURES | others
    assert {how for how, task in tasks.items() if task["failure"]["retryable"]} == {"busy"}
    assert {how for how, task in tasks.items() if task["attempt"] == 2} == {"busy", "insist"}
    kept = {how: metas[how]["result"] for how in ("exit", "local")}
    names = {how: (result["exc_type"], result["exc_message"]) for how, result in kept.items()}
    assert names == {"exit": ("SystemExit", ["cannot go on"]), "local": ("Inner", ["made here"])}
    trace = metas["chained"]["traceback"]
    assert trace.index("CardDeclined: no funds") < trace.index("Unreachable: the bank")


async def test_a_validator_that_exits_does_not_end_the_api(project, running_project):
    check = 'mutation { enqueueCheck(input: {text: "exit"}) { __typename } }'
    with running_project(project, pool="solo") as site:
        answer = await site.client.answer(check)
        echo = await site.client.enqueue("echo", message="still here")

        assert [error["extensions"]["code"] for error in answer["errors"]] == ["INTERNAL"]
        assert await site.ended(echo) == "SUCCEEDED"

"""Plain Celery beside GraphQL: its callers, canvases and tools work, and what they do is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from redis import Redis

from tasks.engine.embedded import private_redis
from tests.conftest import Client, running_api, running_worker, wait_until

pytestmark = pytest.mark.slow

KITCHEN = '''
"""Tasks that use more of Celery than ours do."""

import time
from typing import Annotated

from celery import Task

from tasks.engine import Sensitive, app


@app.task(bind=True)
def cook(self: Task, seconds: float) -> str:
    """Tell of a state of its own."""
    self.update_state(state="COOKING", meta={"pan": 1})
    time.sleep(seconds)
    return "done"


@app.task(ignore_result=True)
def forget(x: int) -> None:
    """Have no result."""


@app.task(bind=True, max_retries=2)
def insist(self: Task, failures: int) -> int:
    """Succeed only after some failures."""
    if self.request.retries < failures:
        raise self.retry(countdown=0.2, exc=ValueError("not yet"))
    return self.request.retries


@app.task
def log_in(user: str, password: Annotated[str, Sensitive]) -> str:
    """Take a secret."""
    return user


@app.task
def total(values: list[float]) -> float:
    """Add up."""
    return sum(values)
'''
CALLER = """
import json, sys
from celery import chain, chord, group
from celery.result import GroupResult
from tasks import app
from tasks.arithmetic import add, mul
from tasks.general import echo, wait
from tasks.kitchen import cook, forget, insist, log_in, total

app.set_default()
for line in sys.stdin:
    scope = dict(globals())
    exec(json.loads(line), scope)
    print(json.dumps(scope["answer"]), flush=True)
"""
TASK = """
query Task($id: ID!) { task(id: $id) {
  id __typename state celeryState worker attempt queue { name } definition { name }
  failure { type message } createdAt startedAt finishedAt
  ... on AddTask { sum: input { x y } result } ... on MulTask { product: input { x y } result }
} }
"""
WATCH = """
subscription Watch($id: ID!, $after: EventCursor) {
  task(id: $id, after: $after) { task { celeryState } }
}
"""


@dataclass(frozen=True)
class Kitchen:
    """An installation with one more file of tasks, and a process that calls it by Celery alone."""

    project: Path
    environment: dict[str, str]
    client: Client
    redis: Redis
    caller: subprocess.Popen

    def python(self, code: str):
        """Run code in the calling process, and give back its `answer`."""
        self.caller.stdin.write(json.dumps(code) + "\n")
        self.caller.stdin.flush()
        return json.loads(self.caller.stdout.readline())

    def celery(self, *arguments: str) -> str:
        """Run Celery's command line."""
        return subprocess.run(
            [sys.executable, "-m", "celery", "-A", "tasks", *arguments],
            cwd=self.project,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    async def task(self, task_id: str) -> dict:
        return (await self.client.execute(TASK, id=task_id))["task"]

    async def states(self, task_id: str, after: str | None = "0-0") -> list[str]:
        """Watch a task to its end: from its beginning, or as it is now."""
        self.wait_for_record(task_id)
        events = await self.client.events(WATCH, id=task_id, after=after)
        return [event["task"]["celeryState"] for event in events]

    def wait_for_record(self, task_id: str) -> None:
        wait_until(lambda: self.redis.exists(f"celeryql:task:{task_id}"), "task seen by a worker")


@contextmanager
def calling(project: Path, environment: dict[str, str]):
    """Run a process that calls Celery."""
    with subprocess.Popen(
        [sys.executable, "-c", CALLER],
        cwd=project,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture(scope="module")
def kitchen(copy_project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kitchen")
    project = copy_project(KITCHEN)
    with private_redis(folder / "redis") as url:
        environment = {"REDIS_URL": url}
        with (
            Redis.from_url(url, decode_responses=True) as redis,
            running_worker("celery", environment, folder / "worker.log", project=project),
            running_api(environment, folder / "api.log", project=project) as api,
            calling(project, environment) as caller,
        ):
            yield Kitchen(project, environment, Client(api), redis, caller)


async def test_a_chain_gives_105_and_its_tasks_are_seen(kitchen):
    value, ids = kitchen.python(
        "result = chain(add.s(4, 5), add.s(6), mul.s(7))()\n"
        "answer = result.get(timeout=10), [result.parent.parent.id, result.parent.id, result.id]"
    )

    tasks = [await kitchen.task(task_id) for task_id in ids]

    assert value == 105
    assert [task["state"] for task in tasks] == ["SUCCEEDED"] * 3
    assert [task["result"] for task in tasks] == [9, 15, 105]
    assert tasks[1]["sum"] == {"x": 9, "y": 6}
    assert tasks[2]["product"] == {"x": 15, "y": 7}
    assert {task["queue"]["name"] for task in tasks} == {"celery"}
    assert all(task["worker"].startswith("celery@") for task in tasks)
    assert tasks[0]["createdAt"] <= tasks[0]["startedAt"] <= tasks[0]["finishedAt"]


async def test_tasks_of_plain_callers_are_listed_newest_first(kitchen):
    ids = kitchen.python(
        "answer = []\n"
        "for i in range(3):\n"
        "    result = mul.delay(i, 1); result.get(timeout=10); answer.append(result.id)"
    )

    data = await kitchen.client.execute(
        '{ tasks(first: 3, filter: {definitions: ["mul"]}) { nodes { id state } } }'
    )

    assert [node["id"] for node in data["tasks"]["nodes"]] == ids[::-1]


def test_a_saved_group_is_restored_by_another_process(kitchen):
    group_id = kitchen.python(
        "result = group(add.s(i, i) for i in range(3))()\nresult.save()\nanswer = result.id"
    )

    with calling(kitchen.project, kitchen.environment) as other:
        values = replace(kitchen, caller=other).python(
            f"answer = GroupResult.restore('{group_id}').get(timeout=10)"
        )

    assert values == [0, 2, 4]
    assert kitchen.redis.exists(f"celery-taskset-meta-{group_id}")


async def test_a_chord_gathers_what_its_header_gave(kitchen):
    value, body = kitchen.python(
        "result = chord([add.s(i, 1) for i in range(4)])(total.s())\n"
        "answer = result.get(timeout=10), result.id"
    )

    assert value == 10
    assert (await kitchen.task(body))["definition"]["name"] == "total"


def test_a_countdown_holds_a_task_back(kitchen):
    waited, value = kitchen.python(
        "import time\nbegan = time.monotonic()\n"
        "value = add.apply_async((1, 2), countdown=1).get(timeout=10)\n"
        "answer = time.monotonic() - began, value"
    )

    assert value == 3
    assert waited >= 1


async def test_a_task_that_ignores_its_result_still_shows_its_state(kitchen):
    task_id = kitchen.python("answer = forget.delay(1).id")

    assert await kitchen.states(task_id) == ["STARTED", "SUCCESS"]


async def test_a_result_that_one_call_ignores_is_not_kept(kitchen):
    task_id = kitchen.python("answer = add.apply_async((1, 2), ignore_result=True).id")

    assert await kitchen.states(task_id) == ["STARTED", "SUCCESS"]
    assert json.loads(kitchen.redis.get(f"celery-task-meta-{task_id}"))["result"] is None


async def test_a_custom_state_is_seen_by_both(kitchen):
    task_id, state, info = kitchen.python(
        "result = cook.delay(4)\nwhile result.state in ('PENDING', 'STARTED'): pass\n"
        "answer = result.id, result.state, result.info"
    )

    task = await kitchen.task(task_id)

    assert (state, info) == ("COOKING", {"pan": 1})
    assert (task["state"], task["celeryState"]) == ("RUNNING", "COOKING")


async def test_a_running_task_of_a_plain_caller_can_be_watched(kitchen):
    task_id = kitchen.python(
        "result = cook.delay(2.5)\nwhile result.state != 'COOKING': pass\nanswer = result.id"
    )

    assert await kitchen.states(task_id, after=None) == ["COOKING", "SUCCESS"]


async def test_a_retried_task_is_seen_at_each_attempt(kitchen):
    task_id = kitchen.python("answer = insist.delay(2).id")

    states = await kitchen.states(task_id)
    task = await kitchen.task(task_id)

    assert states == ["STARTED", "RETRY", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert (task["state"], task["attempt"], task["failure"]) == ("SUCCEEDED", 3, None)


async def test_a_failure_is_seen_with_its_reason(kitchen):
    task_id = kitchen.python(
        "result = add.delay('a lot', 1)\nresult.get(timeout=10, propagate=False)\n"
        "answer = result.id"
    )

    task = await kitchen.task(task_id)

    assert (task["state"], task["celeryState"]) == ("FAILED", "FAILURE")
    assert task["failure"]["type"] == "InvalidArguments"
    assert task["failure"]["message"].startswith("add: x: Input should be a valid number")


def test_a_sensitive_argument_is_nowhere_once_the_task_has_ended(kitchen):
    kitchen.python("answer = log_in.delay('ann', 'correct-horse').get(timeout=10)")

    texts = [
        str(kitchen.redis.hgetall(key) if kind == "hash" else kitchen.redis.get(key))
        for key in kitchen.redis.scan_iter()
        if (kind := kitchen.redis.type(key)) in ("hash", "string")
    ]
    events = str(kitchen.redis.xrange("celeryql:events"))
    assert [text for text in (*texts, events) if "correct-horse" in text] == []


async def test_a_task_revoked_in_its_queue_is_canceled(kitchen):
    busy, task_id = kitchen.python(
        "busy = [wait.delay(1.5) for _ in range(4)]\nresult = add.delay(1, 2)\nresult.revoke()\n"
        "answer = [b.id for b in busy], result.id"
    )
    for other in (*busy, task_id):
        await kitchen.states(other)

    task = await kitchen.task(task_id)

    assert (task["state"], task["celeryState"]) == ("CANCELED", "REVOKED")
    assert (task["startedAt"], task["attempt"]) == (None, 0)


async def test_a_running_task_that_is_terminated_is_canceled(kitchen):
    task_id = kitchen.python(
        "result = wait.delay(60)\nwhile result.state == 'PENDING': pass\n"
        "result.revoke(terminate=True)\nanswer = result.id"
    )

    states = await kitchen.states(task_id)

    assert states[-1] == "REVOKED"
    assert (await kitchen.task(task_id))["state"] == "CANCELED"


async def test_a_task_that_expired_before_it_was_taken_is_expired(kitchen):
    task_id = kitchen.python("answer = add.apply_async((1, 2), expires=-1).id")
    await kitchen.states(task_id)

    task = await kitchen.task(task_id)

    assert (task["state"], task["celeryState"], task["attempt"]) == ("EXPIRED", "REVOKED", 0)


def test_celerys_command_line_finds_the_worker_and_what_it_runs(kitchen):
    task_id = kitchen.python(
        "result = wait.delay(60)\nwhile result.state == 'PENDING': pass\nanswer = result.id"
    )

    (node, ping), *_ = json.loads(kitchen.celery("inspect", "ping", "--json")).items()
    (active,) = json.loads(kitchen.celery("inspect", "active", "--json")).values()
    (registered,) = json.loads(kitchen.celery("inspect", "registered", "--json")).values()
    kitchen.python(f"answer = app.control.revoke('{task_id}', terminate=True)")

    assert node.startswith("celery@")
    assert ping == {"ok": "pong"}
    assert [(task["id"], task["name"]) for task in active] == [(task_id, "tasks.general.wait")]
    assert {"tasks.arithmetic.add", "tasks.kitchen.cook"} <= set(registered)


async def test_celerys_command_line_enqueues_and_reads(kitchen):
    task_id = kitchen.celery("call", "tasks.arithmetic.add", "--args=[4, 5]").strip()
    await kitchen.states(task_id)

    assert kitchen.celery("result", task_id).strip() == "9.0"
    assert (await kitchen.task(task_id))["result"] == 9


async def test_a_task_that_no_worker_knows_fails_and_says_so(kitchen):
    task_id = kitchen.celery("call", "tasks.kitchen.burn").strip()
    await kitchen.states(task_id)

    task = await kitchen.task(task_id)

    assert (task["__typename"], task["state"]) == ("UndefinedTask", "FAILED")
    assert task["failure"] == {"type": "NotRegistered", "message": "tasks.kitchen.burn"}

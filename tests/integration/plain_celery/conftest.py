"""Plain Celery callers: tasks that use more of Celery, and a process that calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from redis import Redis

from tests.client import Client
from tests.processes import wait_until

KITCHEN = '''
"""Tasks that use more features of Celery."""

import sys
import time
from typing import Annotated

from celery import Task

from tasks.celery_app import app
from celeryql import Sensitive


@app.task(bind=True)
def cook(self: Task, seconds: float) -> str:
    """Write a custom state."""
    self.update_state(state="COOKING", meta={"pan": 1})
    time.sleep(seconds)
    return "done"


@app.task(ignore_result=True)
def forget(x: int) -> None:
    """Ignore the result."""


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
def give_up(text: str) -> None:
    """Exit, as some libraries do."""
    sys.exit(text)


@app.task
def total(values: list[float]) -> float:
    """Add numbers."""
    return sum(values)
'''
CALLER = """
import json, sys
from celery import chain, chord, group
from celery.result import GroupResult
from tasks import app
from tasks.arithmetic import add, mul
from tasks.general import echo, wait
from tasks.kitchen import cook, forget, give_up, insist, log_in, total

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
    """A project with more tasks, and a process that calls them with plain Celery."""

    project: Path
    environment: dict[str, str]
    client: Client
    redis: Redis
    caller: subprocess.Popen

    def python(self, code: str):
        """Run code in the calling process, and return its `answer`."""
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
        """Watch a task to its end, from its first event or from now."""
        self.wait_for_record(task_id)
        events = await self.client.events(WATCH, id=task_id, after=after)
        return [event["task"]["celeryState"] for event in events]

    @contextmanager
    def elsewhere(self) -> Iterator[Kitchen]:
        """Call from another process."""
        with calling(self.project, self.environment) as caller:
            yield replace(self, caller=caller)

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


@pytest.fixture(scope="package")
def kitchen(copy_project, running_project) -> Iterator[Kitchen]:
    project = copy_project(KITCHEN)
    with running_project(project) as place:
        environment = {"REDIS_URL": place.url}
        with calling(project, environment) as caller:
            yield Kitchen(project, environment, place.client, place.redis, caller)

"""Task bodies that use rare features of Celery still end with correct states."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from redis import Redis

from tests.client import Client
from tests.processes import wait_until

pytestmark = pytest.mark.slow

TASKS = '''
"""Odd tasks."""

from typing import Annotated, Any

from celery import Task
from celery.exceptions import Ignore

from tasks.celery_app import app
from celeryql import Sensitive


@app.task
def shrug() -> None:
    """Raise Ignore."""
    raise Ignore


@app.task
def count_down(n: int) -> int:
    """Call itself, then publish."""
    if n:
        return count_down(n - 1)
    app.send_task("tasks.arithmetic.add", (1, 2), task_id="sent-by-count-down")
    return 0


@app.task(bind=True)
def ramble(self: Task, page: str) -> str:
    """Report progress as text, then a custom state with text as metadata."""
    self.update_state(state="PROGRESS", meta={"current": page, "total": None})
    self.update_state(state="READING", meta="well")
    return page


@app.task(bind=True, ignore_result=True, max_retries=1)
def insist_quietly(self: Task) -> int:
    """Succeed in the second attempt, without a result."""
    if not self.request.retries:
        raise self.retry(countdown=0.1, exc=OSError(2, "No such file", "a\\udc80b"))
    return 1


@app.task
def enter(user: str, key: Annotated[str, Sensitive] | None = None) -> str:
    """Take an optional secret."""
    return user
'''
EVENTS = 'subscription($id: ID!) { task(id: $id, after: "0-0") { task { celeryState } } }'


@dataclass
class Site:
    client: Client
    redis: Redis

    async def run(self, mutation: str, task_type: str, arguments: str = "") -> dict:
        """Run a task to its end, and return its record and the states that it had."""
        given = f"(input: {arguments})" if arguments else ""
        success = f"E{mutation[1:]}Success"
        data = await self.client.execute(
            f"mutation {{ {mutation}{given} {{ ... on {success} {{ task {{ id }} }} }} }}"
        )
        task_id = data[mutation]["task"]["id"]
        events = await self.client.events(EVENTS, id=task_id)
        result = f"... on {task_type} {{ result }}" if task_type else ""
        fields = f"id state failure {{ type message }} {result}"
        query = f"query($id: ID!) {{ task(id: $id) {{ {fields} }} }}"
        task = (await self.client.execute(query, id=task_id))["task"]
        return task | {"states": [event["task"]["celeryState"] for event in events]}


@pytest.fixture(scope="module")
def site(copy_project, running_project):
    with running_project(copy_project(TASKS)) as running:
        yield Site(running.client, running.redis)


async def test_a_body_that_raises_ignore_fails_the_task(site):
    task = await site.run("enqueueShrug", "")

    assert (task["state"], task["failure"]["type"]) == ("FAILED", "Ignore")


async def test_a_task_that_calls_itself_sends_its_messages(site):
    task = await site.run("enqueueCountDown", "CountDownTask", "{n: 3}")

    assert (task["state"], task["result"]) == ("SUCCEEDED", 0)
    wait_until(
        lambda: site.redis.get("celery-task-meta-sent-by-count-down"), "task sent by the body"
    )


async def test_malformed_progress_is_a_custom_state(site):
    task = await site.run("enqueueRamble", "RambleTask", '{page: "3"}')
    other = await site.run("enqueueEcho", "EchoTask", '{message: "unaffected"}')

    assert task["states"] == ["PENDING", "STARTED", "PROGRESS", "READING", "SUCCESS"]
    assert other["result"] == "unaffected"


async def test_a_task_without_a_result_shows_its_retry(site):
    task = await site.run("enqueueInsistQuietly", "InsistQuietlyTask")

    assert task["states"] == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert task["result"] is None


async def test_an_optional_secret_is_stored_nowhere(site):
    task = await site.run("enqueueEnter", "EnterTask", '{user: "ann", key: "hush-hush"}')

    kept = {key: read(site.redis, key) for key in site.redis.scan_iter(f"*{task['id']}*")}
    assert task["result"] == "ann"
    assert len(kept) >= 4
    assert [key for key, text in kept.items() if "hush" in text] == []


def read(redis: Redis, key: str) -> str:
    readers = {"hash": redis.hgetall, "string": redis.get}
    kind = redis.type(key)
    return str(readers[kind](key) if kind in readers else redis.lrange(key, 0, -1))

"""Routing: workers take the tasks of their queues, including tasks that waited for them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
from psutil import Process
from redis import Redis

from graphql_api.local.redis_server import private_redis, reserve_port
from tests.client import Client
from tests.processes import DEADLINE_S, running, running_api, running_worker

pytestmark = pytest.mark.slow

WATCH = "subscription($id: ID!) { task(id: $id) { task { id state worker } } }"
QUEUES = "{ queues { name depth unacked oldestWaitingSeconds } taskDefinitions { name unserved } }"
WORKERS = """
{ workers {
  name online queues { name } pool concurrency active { id } processed rssBytes
} }
"""
TASK = "query($id: ID!) { task(id: $id) { state celeryState worker attempt startedAt } }"
MAIL = {"to": "ann@example.org", "subject": "Hi", "text": "Hello"}


@dataclass
class Installation:
    """An API with its own Redis, whose workers come and go."""

    client: Client
    environment: dict[str, str]
    folder: Path

    def worker(self, queue):
        """Run the worker of a queue for the length of a `with` block."""
        return running_worker(queue, self.environment, self.folder / f"{queue}.log")

    async def task(self, task_id):
        return (await self.client.execute(TASK, id=task_id))["task"]

    async def queues(self):
        """Return the queues by name, and the definitions that no worker serves."""
        data = await self.client.execute(QUEUES)
        unserved = {d["name"] for d in data["taskDefinitions"] if d["unserved"]}
        return {queue.pop("name"): queue for queue in data["queues"]}, unserved

    async def finish(self, *task_ids):
        """Watch tasks to their end, and return the worker that ran each."""
        for task_id in task_ids:
            await self.client.events(WATCH, id=task_id)
        return [(await self.task(task_id))["worker"].split("@")[0] for task_id in task_ids]

    async def the_worker(self, queue, condition):
        """Wait until the only worker of a queue meets a condition, and return it."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = (await self.client.execute(WORKERS))["workers"]
                for worker in found:
                    if worker["queues"] == [{"name": queue}] and condition(worker):
                        return worker
                await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def machine(tmp_path_factory, model_dir):
    folder = tmp_path_factory.mktemp("routing")
    port = str(reserve_port())
    mail = ["aiosmtpd", "-n", "-l", f"127.0.0.1:{port}", "-c", "aiosmtpd.handlers.Sink"]
    with (
        private_redis(folder / "redis") as url,
        running(mail, {}, folder / "mail.log"),
        running_api({"REDIS_URL": url}, folder / "api.log") as api,
    ):
        environment = {"REDIS_URL": url, "SMTP_PORT": port, "MODEL_DIR": str(model_dir)}
        yield Installation(Client(api), environment, folder)


@pytest.fixture
def installation(machine):
    """An installation without tasks; tests stop their workers before they end."""
    yield machine
    with Redis.from_url(machine.environment["REDIS_URL"]) as redis:
        redis.flushdb()


async def test_a_worker_takes_tasks_only_from_its_own_queue(installation):
    with installation.worker("celery"):
        mail = await installation.client.enqueue("sendEmail", **MAIL)
        spam = await installation.client.enqueue("detectSpam", message="Txt CLAIM to win a prize")
        ran = await installation.finish(
            *[await installation.client.enqueue("add", x=1, y=2) for _ in range(5)]
        )
        queues, unserved = await installation.queues()

    assert set(ran) == {"celery"}
    assert {name: queue["depth"] for name, queue in queues.items()} == {
        "celery": 0, "ml_service": 1, "email_service": 1,
    }  # fmt: skip
    assert unserved == {"detect_spam", "detect_spam_batch", "send_email"}
    assert (await installation.task(mail))["state"] == "QUEUED"
    assert (await installation.task(spam))["state"] == "QUEUED"


async def test_a_task_waits_in_its_queue_until_its_worker_starts(installation):
    task_id = await installation.client.enqueue("add", x=1, y=2)
    await installation.client.enqueue("add", x=1, y=2)
    task = await installation.task(task_id)
    waiting, unserved = await installation.queues()
    watching = asyncio.create_task(installation.client.events(WATCH, id=task_id))

    with installation.worker("celery"):
        events = await watching
        served, still_unserved = await installation.queues()

    assert task == {
        "state": "QUEUED", "celeryState": "PENDING", "worker": None, "attempt": 0,
        "startedAt": None,
    }  # fmt: skip
    assert waiting["celery"]["depth"] == 2
    assert 0 <= waiting["celery"]["oldestWaitingSeconds"] < 5
    assert waiting["email_service"]["oldestWaitingSeconds"] is None
    assert {"add", "echo", "mul", "wait"} <= unserved
    assert [event["task"]["state"] for event in events] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert served["celery"]["depth"] == 0
    assert "add" not in still_unserved


async def test_the_age_of_a_queue_is_that_of_its_next_task(installation):
    async def age():
        return (await installation.queues())[0]["email_service"]["oldestWaitingSeconds"]

    await installation.client.enqueue("sendEmail", **MAIL)
    async with asyncio.timeout(10):
        while await age() < 1:  # noqa: ASYNC110  # the test waits for time to pass
            await asyncio.sleep(0.05)
    await installation.client.enqueue("sendEmail", **MAIL)

    queues, _ = await installation.queues()

    assert queues["email_service"]["depth"] == 2
    assert 1 <= queues["email_service"]["oldestWaitingSeconds"] < 5


async def test_a_chain_waits_for_the_worker_of_its_middle_step(installation):
    steps = {
        "first": {"echo": {"message": "Txt CLAIM to win a prize"}},
        "spam": {"detectSpam": {}},
        "mail": {"sendEmail": MAIL},
        "last": {"add": {"x": 1, "y": 1}},
    }
    chain = [{"step": {"key": key, "task": task}} for key, task in steps.items()]
    workflow_id = await installation.client.enqueue("workflow", canvas={"chain": chain})
    watch = "subscription($id: ID!) { task(id: $id) { task { stepKey state } } }"
    received = []

    async def watch_until(stream, step, state):
        async for message in stream:
            event = message["payload"]["data"]["task"]["task"]
            received.append((event["stepKey"], event["state"]))
            if received[-1] == (step, state):
                return

    async with aclosing(installation.client.watch(watch, id=workflow_id)) as stream:
        with ExitStack() as started:
            started.enter_context(installation.worker("celery"))
            await watch_until(stream, "spam", "QUEUED")
            queues, _ = await installation.queues()
            for queue in ("ml_service", "email_service"):
                started.enter_context(installation.worker(queue))
            await watch_until(stream, None, "SUCCEEDED")

    assert queues["ml_service"]["depth"] == 1
    assert received == [
        (None, "QUEUED"),
        ("first", "RUNNING"), (None, "RUNNING"), ("first", "SUCCEEDED"), ("spam", "QUEUED"),
        ("spam", "RUNNING"), ("spam", "SUCCEEDED"), ("mail", "QUEUED"),
        ("mail", "RUNNING"), ("mail", "SUCCEEDED"), ("last", "QUEUED"),
        ("last", "RUNNING"), ("last", "SUCCEEDED"), (None, "SUCCEEDED"),
    ]  # fmt: skip


async def test_workers_shows_the_current_state_of_a_worker(installation):
    with installation.worker("celery"):
        idle = await installation.the_worker("celery", lambda worker: worker["online"])
        task_id = await installation.client.enqueue("wait", seconds=4)
        busy = await installation.the_worker("celery", lambda worker: worker["active"])
        queues, _ = await installation.queues()
        await installation.finish(task_id)
        done = await installation.the_worker("celery", lambda worker: not worker["active"])
    stopped = await installation.the_worker("celery", lambda _: True)

    assert (idle["pool"], idle["concurrency"], idle["active"]) == ("prefork", 2, [])
    assert busy["active"] == [{"id": task_id}]
    assert queues["celery"]["unacked"] == 1
    assert done["processed"] == idle["processed"] + 1
    assert 10_000_000 < busy["rssBytes"] < 2_000_000_000
    assert (stopped["name"], stopped["online"]) == (idle["name"], False)


def test_pool_processes_share_most_memory_with_their_worker(machine, tmp_path):
    environment = {"REDIS_URL": machine.environment["REDIS_URL"]}
    with running_worker("celery", environment, tmp_path / "worker.log") as worker:
        pool = Process(worker.pid).children()
        memory = [process.memory_full_info() for process in pool]

    assert memory
    assert all(process.uss < process.rss / 3 for process in memory)

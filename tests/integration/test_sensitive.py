"""Sensitive arguments are in the message to the worker and nowhere else."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from graphql_api.local.redis_server import private_redis
from tests.client import Client
from tests.processes import run_to_end, running_api, running_worker, wait_until

pytestmark = pytest.mark.slow

SECRET = "hush-0123456789-hush"
TASKS = '''
"""Tasks that take a secret."""

from typing import Annotated

from pydantic import BaseModel, Field

from tasks.celery_app import app
from celeryql import Retryable, Sensitive


class Card(BaseModel):
    """A way to pay."""

    number: int = Field(ge=0, description="Its number.")


Key = Annotated[str, Sensitive, Field(max_length=40, pattern="^hush", description="A secret.")]


@app.task
def unlock(door: str, key: Key) -> str:
    """Open a door."""
    return door


@app.task
def pay(card: Annotated[Card, Sensitive], amount: float = 1.0) -> float:
    """Pay with a card."""
    return amount


@app.task(bind=True, max_retries=1)
def knock(self, key: Key) -> bool:
    """Succeed in the second attempt."""
    if not self.request.retries:
        raise Retryable("nobody there", after_s=0.1)
    return True


@app.task
def slip(key: Key) -> str:
    """Fail."""
    raise ValueError("slipped")
'''
UNLOCK = """
mutation($key: String!) { enqueueUnlock(input: {door: "front", key: $key}) {
  __typename ... on EnqueueUnlockSuccess { task { id } }
} }
"""
VARIED = """
mutation($input: %s!) { %s(input: $input) { __typename ... on Error { message } } }
"""
BATCH = """
mutation($key: String!) { enqueueBatch(tasks: [
  {task: {unlock: {door: "a", key: $key}}} {task: {unlock: {key: $key}}} {task: {slip: {key: $key}}}
]) { ... on EnqueueBatchSuccess { items { task { id } error { message } } } } }
"""
WORKFLOW = """
mutation($key: String!) { enqueueWorkflow(input: {canvas: {chain: [
  {step: {task: {%s}}} {step: {task: {unlock: {key: $key}}}}
]}}) { __typename ... on EnqueueWorkflowSuccess { task { id } } ... on Error { message } } }
"""
LATER = """
mutation($key: String!) {
  enqueueSlip(input: {key: $key}, options: {start: {inSeconds: 3600}}) {
    ... on EnqueueSlipSuccess { task { id } }
  }
}
"""
CANCEL = "mutation($id: ID!) { cancelTask(id: $id) { __typename } }"
RETRY = "mutation($id: ID!) { retryTask(id: $id) { __typename ... on Error { message } } }"
SHOWN = "query($id: ID!) { task(id: $id) { state failure { message traceback } history { kind } } }"
ENDED = "subscription($id: ID!) { task(id: $id) { task { state } workflow { state } } }"
PLAIN = f"""
from tasks.kitchen import unlock, slip
from celery import chain
unlock.delay("front", "{SECRET}").get(timeout=20)
chain(unlock.s("front", key="{SECRET}"), slip.si(key="{SECRET}"))().get(timeout=20, propagate=False)
unlock.delay("front", ["{SECRET}"]).get(timeout=20, propagate=False)
unlock.delay("front", "{SECRET}", "{SECRET}").get(timeout=20, propagate=False)
"""


def unpacked(text: str) -> str:
    """Append to a text what its Base64 parts contain, such as bodies of kombu's messages."""
    words = re.findall(r"[A-Za-z0-9+/]{16,}={0,2}", text)
    packed = [base64.b64decode(word[: len(word) // 4 * 4]).decode("latin-1") for word in words]
    return " ".join([text, *packed])


@dataclass
class Site:
    client: Client
    redis: Redis
    environment: dict[str, str]
    project: Path
    folder: Path
    published: list[str] = field(default_factory=list)

    def holding(self) -> set[str]:
        """List the keys in Redis whose values contain the secret."""
        return {key for key in self.redis.scan_iter() if SECRET in unpacked(self._read(key))}

    def _read(self, key: str) -> str:
        readers: dict[str, Any] = {
            "string": self.redis.get,
            "hash": self.redis.hgetall,
            "list": lambda key: self.redis.lrange(key, 0, -1),
            "zset": lambda key: self.redis.zrange(key, 0, -1),
            "set": self.redis.smembers,
            "stream": self.redis.xrange,
        }
        kind = self.redis.type(key)
        return str(readers[kind](key)) if kind != "none" else ""

    @contextmanager
    def worker(self, *options: str) -> Iterator[None]:
        log = self.folder / f"worker-{len(list(self.folder.iterdir()))}.log"
        with running_worker("celery", self.environment, log, project=self.project, options=options):
            yield

    async def ended(self, task_id: str) -> dict[str, Any]:
        """Wait until a task has ended, and return what the API shows of it."""
        await self.client.events(ENDED, id=task_id)
        return (await self.client.execute(SHOWN, id=task_id))["task"]

    def logged_and_published(self) -> str:
        """Return all log lines and all published events."""
        logs = "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))
        return unpacked(logs + "".join(self.published))


@pytest.fixture(scope="module")
def site(copy_project, tmp_path_factory) -> Iterator[Site]:
    project, folder = copy_project(TASKS), tmp_path_factory.mktemp("sensitive")
    with (
        private_redis(folder / "redis") as url,
        Redis.from_url(url, decode_responses=True) as redis,
        running_api({"REDIS_URL": url}, folder / "api.log", project=project) as api,
    ):
        site = Site(Client(api), redis, {"REDIS_URL": url}, project, folder)
        with redis.pubsub() as channel:
            channel.psubscribe(**{"*": lambda message: site.published.append(str(message))})
            listener = channel.run_in_thread(0.05)
            yield site
            listener.stop()
            listener.join()


async def test_only_the_message_contains_it_and_only_until_the_task_has_run(site):
    execute = site.client.execute
    single = (await execute(UNLOCK, key=SECRET))["enqueueUnlock"]["task"]["id"]
    items = (await execute(BATCH, key=SECRET))["enqueueBatch"]["items"]
    first = 'unlock: {door: "a", key: $key}'
    workflow = (await execute(WORKFLOW % first, key=SECRET))["enqueueWorkflow"]["task"]["id"]
    knock = await site.client.enqueue("knock", key=SECRET)
    waiting = f"celeryql:signatures:{workflow}"  # the later message of the second step

    assert site.holding() == {"celery", "celeryql:outbox", waiting}
    assert "door" in items[1]["error"]["message"]
    with site.worker("-E", "--loglevel", "DEBUG"):
        ids = [single, items[0]["task"]["id"], workflow, knock]
        states = [(await site.ended(id_))["state"] for id_ in ids]
        slipped = await site.ended(items[2]["task"]["id"])
        wait_until(lambda: not site.holding(), "secret is stored nowhere")

    assert states == ["SUCCEEDED"] * 4
    assert slipped["state"] == "FAILED"
    assert SECRET not in str(slipped)
    assert "task-received" in site.logged_and_published()
    assert SECRET not in site.logged_and_published()


async def test_it_is_stored_nowhere_after_a_task_was_skipped_or_canceled(site):
    execute = site.client.execute
    workflow = (await execute(WORKFLOW % "slip: {key: $key}", key=SECRET))["enqueueWorkflow"]
    later = (await execute(LATER, key=SECRET))["enqueueSlip"]["task"]["id"]
    assert "celeryql:scheduled_messages" in site.holding()

    await execute(CANCEL, id=later)
    with site.worker():
        assert (await site.ended(workflow["task"]["id"]))["state"] == "FAILED"
        wait_until(lambda: not site.holding(), "secret is stored nowhere")


@pytest.mark.parametrize(
    ("mutation", "input_type", "given"),
    [
        ("enqueueUnlock", "UnlockInput", {"door": "a", "key": [SECRET, SECRET]}),
        ("enqueueUnlock", "UnlockInput", {"door": "a", "key": {"a": SECRET}}),
        ("enqueueUnlock", "UnlockInput", {"door": "a", "key": SECRET * 3}),
        ("enqueueUnlock", "UnlockInput", {"door": "a", "key": f"x{SECRET}"}),
        ("enqueueUnlock", "UnlockInput", {"key": SECRET}),
        ("enqueueUnlock", "UnlockInput", SECRET),
        ("enqueueUnlock", "String", SECRET),
        ("enqueuePay", "PayInput", {"card": {"number": SECRET}}),
        ("enqueuePay", "PayInput", {"card": {"number": -1, "pin": SECRET}}),
        ("enqueuePay", "PayInput", {"card": SECRET}),
    ],
)
async def test_an_invalid_secret_is_not_logged(site, mutation, input_type, given):
    answer = await site.client.answer(VARIED % (input_type, mutation), input=given)

    member = (answer["data"] or {}).get(mutation, {})
    assert "errors" in answer or member["__typename"] == "InvalidInput"
    assert SECRET not in str(member)
    assert SECRET not in site.logged_and_published()
    assert site.holding() == set()


async def test_a_retry_reports_that_the_secret_was_not_stored(site):
    enqueued = await site.client.execute(UNLOCK, key=SECRET)
    task_id = enqueued["enqueueUnlock"]["task"]["id"]
    with site.worker():
        await site.ended(task_id)

    payload = (await site.client.execute(RETRY, id=task_id))["retryTask"]

    assert payload["__typename"] == "InvalidInput"
    assert "takes sensitive arguments (key), which are not stored" in payload["message"]


def test_secrets_of_plain_callers_are_protected_as_well(site):
    with site.worker("-E", "--loglevel", "DEBUG"):
        done = run_to_end(["-c", PLAIN], site.project, **site.environment)
        wait_until(lambda: not site.holding(), "secret is stored nowhere")

    assert done.returncode == 0, done.stderr
    assert SECRET not in site.logged_and_published()

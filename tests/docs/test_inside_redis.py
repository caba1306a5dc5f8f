"""The table of keys in docs/inside-redis.md lists the keys that a real installation has."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import aclosing

import pytest
from redis import Redis

from tests.client import Client
from tests.docs.pages import page
from tests.docs.transcript import STATES
from tests.processes import DEADLINE_S

SUM = (
    "mutation { enqueueWorkflow(input: {canvas: {chain: [{step: {task: {add: {x: 4, y: 5}}}},"
    ' {step: {task: {mul: {y: 7}}}}]}}, options: {idempotencyKey: "inside-redis"})'
    " { ... on EnqueueWorkflowSuccess { task { id } } } }"
)
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

SELDOM_THERE = {  # for a moment after a task is enqueued, or after an outage or a mail
    "celeryql:outbox",
    "celeryql:outbox_index:<list>",
    "celeryql:grace",
    "celeryql:claim:<id>",
    "celeryql:rate:<owner>",
}


@pytest.mark.slow
async def test_redis_holds_the_keys_that_the_docs_list(client, workers, environment):
    text = page("docs/inside-redis.md")
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

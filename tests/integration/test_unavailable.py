"""Outages of Redis: how the API responds, and that it continues afterwards."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import httpx
import pytest

from tests.client import Client
from tests.processes import DEADLINE_S, Server, running_api, running_worker

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ANSWER_S = 1.5
READY_S = 1.0
ADD = """
mutation Add($options: TaskOptions) {
  enqueueAdd(input: {x: 1, y: 2}, options: $options) {
    __typename
    ... on EnqueueAddSuccess { task { id } }
    ... on Unavailable { message retryAfterSeconds }
  }
}
"""
WAIT = """
mutation { enqueueWait(input: {seconds: 3}) { ... on EnqueueWaitSuccess { task { id } } } }
"""
WATCH = """
subscription Watch($id: ID!, $after: EventCursor) {
  task(id: $id, after: $after) { cursor kind task { state version } }
}
"""
NOTHING = "Redis cannot be reached. Nothing was accepted: retry later"
UNKNOWN = (
    "Redis did not answer in time. It is unknown whether the work was accepted: "
    "retry with the same idempotency key"
)


class Api:
    """An API, and how long its responses take."""

    def __init__(self, http, url):
        self.client = Client(url)
        self._http = http

    async def timed(self, method, path, **options):
        began = time.monotonic()
        response = await self._http.request(method, path, **options)
        return response, time.monotonic() - began

    async def ask(self, operation, **variables):
        body = {"query": operation, "variables": variables}
        response, took_s = await self.timed("POST", "/graphql", json=body)
        return response.json(), took_s


@pytest.fixture
def redis(tmp_path):
    server = Server(tmp_path / "redis")
    yield server
    server.close()


@pytest.fixture
async def api(redis, tmp_path):
    """An API whose Redis is not running yet."""
    with running_api({"REDIS_URL": redis.url}, tmp_path / "api.log") as url:
        async with httpx.AsyncClient(base_url=url, timeout=10) as http:
            yield Api(http, url)


async def answers_during_outage(api):
    """Send requests concurrently over old and new connections; return the mutations' responses."""
    (healthy, _), (ready, ready_s), (query, query_s), *mutations = await asyncio.gather(
        api.timed("GET", "/healthz"),
        api.timed("GET", "/readyz"),
        api.ask("{ tasks { nodes { id } } queues { depth } workers { name } }"),
        *[api.ask(ADD, options={"idempotencyKey": "outage"}) for _ in range(5)],
    )

    assert healthy.status_code == 200
    assert (ready.status_code, ready.json()) == (503, {"status": "Redis does not answer"})
    assert ready_s < READY_S
    assert query["data"] is None
    assert {error["extensions"]["code"] for error in query["errors"]} == {"UNAVAILABLE"}
    assert max(query_s, *[took_s for _, took_s in mutations]) < ANSWER_S
    payloads = [answer["data"]["enqueueAdd"] for answer, _ in mutations]
    assert {payload["__typename"] for payload in payloads} == {"Unavailable"}
    assert {payload["retryAfterSeconds"] for payload in payloads} == {1.0}
    return [payload["message"] for payload in payloads]


async def accept(api, operation=ADD, mutation="enqueueAdd", **variables):
    """Enqueue as soon as the API can, and return the task's id."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer, _ = await api.ask(operation, **variables)
            if "task" in answer["data"][mutation]:
                return answer["data"][mutation]["task"]["id"]
            await asyncio.sleep(0.05)


async def test_an_api_that_starts_before_redis_serves_once_redis_is_there(redis, api):
    messages = await answers_during_outage(api)
    redis.start()
    nothing_was_accepted = redis.messages() == 0
    task_id = await accept(api)
    ready, _ = await api.timed("GET", "/readyz")

    assert set(messages) == {NOTHING}
    assert nothing_was_accepted
    assert ready.status_code == 200
    assert await api.client.execute("{ tasks { nodes { id } } }") == {
        "tasks": {"nodes": [{"id": task_id}]}
    }
    assert redis.messages() == 1


async def test_a_mutation_while_redis_is_dead_accepts_nothing(redis, api):
    redis.start()
    before = await accept(api)
    await asyncio.gather(*[api.ask("{ queues { depth } }") for _ in range(5)])
    redis.kill()

    messages = await answers_during_outage(api)
    redis.start()
    kept = redis.messages()
    after = await accept(api)

    assert set(messages) <= {NOTHING, UNKNOWN}
    assert NOTHING in messages
    assert kept == 1
    assert await api.client.execute("{ tasks { nodes { id } } }") == {
        "tasks": {"nodes": [{"id": after}, {"id": before}]}
    }


async def test_a_mutation_while_redis_is_frozen_reports_an_unknown_outcome(redis, api):
    redis.start()
    await accept(api)
    redis.freeze()

    messages = await answers_during_outage(api)
    redis.thaw()
    await accept(api, options={"idempotencyKey": "outage"})
    await accept(api, options={"idempotencyKey": "outage"})

    assert set(messages) <= {NOTHING, UNKNOWN}
    assert UNKNOWN in messages
    assert redis.messages() == 2


async def test_mutations_of_one_request_wait_only_once_for_a_frozen_redis(redis, api):
    redis.start()
    await accept(api)
    redis.freeze()
    add = "enqueueAdd(input: {x: 1, y: 2}) { ... on Unavailable { message } }"
    many = " ".join(f"a{i}: {add}" for i in range(10))
    answer, took_s = await api.ask(f"mutation {{ {many} }}")
    redis.thaw()

    first, *others = [refused["message"] for refused in answer["data"].values()]
    assert first == UNKNOWN
    assert set(others) == {NOTHING}
    assert took_s < ANSWER_S
    await accept(api)
    assert redis.messages() in (2, 3)  # whether the first was accepted is unknown


@pytest.mark.parametrize("outage", ["dead", "frozen"])
async def test_a_stream_survives_an_outage_without_a_missing_event(redis, api, tmp_path, outage):
    redis.start()
    with running_worker("celery", {"REDIS_URL": redis.url}, tmp_path / "worker.log"):
        task_id = await accept(api, WAIT, "enqueueWait")
        stream = api.client.watch(WATCH, id=task_id)
        received = []
        async for message in stream:
            received.append(message["payload"]["data"]["task"])
            if len(received) == 3:
                (redis.kill if outage == "dead" else redis.freeze)()
                await asyncio.sleep(1)  # the length of the outage
                (redis.start if outage == "dead" else redis.thaw)()
        kept = await api.client.events(WATCH, id=task_id, after=received[0]["cursor"])

    assert received[1:] == kept
    assert received[-1]["task"]["state"] == "SUCCEEDED"
    versions = [event["task"]["version"] for event in received]
    assert versions == list(range(versions[0], versions[0] + len(received)))


async def test_a_subscription_during_an_outage_is_refused(redis, api):
    redis.start()
    task_id = await accept(api)
    redis.kill()

    async with aclosing(api.client.watch(WATCH, id=task_id)) as stream:
        message = await anext(stream)

    assert message["type"] == "error"
    assert [error["extensions"]["code"] for error in message["payload"]] == ["UNAVAILABLE"]

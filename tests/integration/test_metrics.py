"""`/metrics` as Prometheus reads it, with real workers and without Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from celeryql.settings import Settings
from tests.client import Client
from tests.processes import Server, running_worker
from tests.serving import METRICS_TOKEN, serving

pytestmark = pytest.mark.slow

TOKEN = {"metrics_token": SecretStr(METRICS_TOKEN)}
WATCH = "subscription($id: ID!) { task(id: $id) { task { state } } }"

OF_PROXIES = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Original-Forwarded-For",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "CF-Connecting-IP",
    "CF-Ray",
    "CDN-Loop",
    "Via",
    "X-Envoy-External-Address",
    "X-Amzn-Trace-Id",
    "X-Azure-ClientIP",
)


async def scrape(client: Client, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=10) as http:
        return await http.get(f"{client.url}/metrics", headers=headers)


async def samples(client: Client) -> dict[tuple[str, ...], float]:
    """Read all samples, by name and label values, in the order of the label names."""
    answer = await scrape(client)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.fixture
def server(tmp_path: Path) -> Server:
    server = Server(tmp_path / "redis")
    server.start()
    yield server
    server.close()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Client]:
    async with serving(Settings(redis_url=server.url)) as client:
        yield client


@pytest.fixture
def worker(server: Server, tmp_path: Path) -> Callable[..., Any]:
    def start() -> Any:
        return running_worker("celery", {"REDIS_URL": server.url}, tmp_path / "w.log", pool="solo")

    return start


async def test_operations_are_counted_by_names_of_the_schema(api):
    await api.enqueue("add", x=1, y=2)
    await api.answer("mutation M { enqueueWait(input: {seconds: -1}) { __typename } }")
    await api.answer("query MyName { alias: tasks(first: 1) { __typename } }")
    await api.answer("{ workers { name } queues { name } }")
    await api.answer("{ noSuchField }")
    await api.answer("{ not GraphQL")
    await api.answer('{ tasks(first: 1, after: "nonsense") { __typename } }')

    found = await samples(api)

    name = "celeryql_graphql_requests_total"
    assert {key[1:]: count for key, count in found.items() if key[0] == name} == {
        ("enqueueAdd", "ok", "mutation"): 1,
        ("enqueueWait", "refused", "mutation"): 1,
        ("tasks", "ok", "query"): 1,
        ("several", "ok", "query"): 1,
        ("other", "BAD_USER_INPUT", "query"): 1,
        ("other", "BAD_USER_INPUT", "other"): 1,
        ("tasks", "BAD_USER_INPUT", "query"): 1,
    }
    duration = "celeryql_graphql_request_duration_seconds"
    assert found[f"{duration}_count", "enqueueAdd", "mutation"] == 1
    assert 0 < found[f"{duration}_sum", "enqueueAdd", "mutation"] < 5


async def test_an_outage_is_counted_by_its_error_code(api, server):
    await api.enqueue("add", x=1, y=2)
    server.kill()

    await api.answer('{ task(id: "a") { id } }')
    await api.answer("mutation { enqueueAdd(input: {x: 1, y: 2}) { __typename } }")

    found = await samples(api)
    assert found["celeryql_graphql_requests_total", "task", "UNAVAILABLE", "query"] == 1
    assert found["celeryql_graphql_requests_total", "enqueueAdd", "refused", "mutation"] == 1


async def test_waiting_and_running_are_timed_for_all_workers(api, server, worker):
    waiting = await api.enqueue("wait", seconds=0.2)
    before = await samples(api)
    assert before["celeryql_queue_depth", "celery"] == 1
    assert before["celeryql_workers_online", "celery"] == 0
    assert before["celeryql_task_wait_seconds_count", "wait"] == 0
    assert before["celeryql_enqueue_duration_seconds_count", "wait"] == 1

    with worker():
        await api.events(WATCH, id=waiting)
        async with serving(Settings(redis_url=server.url)) as other:
            found = await samples(other)

    assert found["celeryql_queue_depth", "celery"] == 0
    assert found["celeryql_workers_online", "celery"] == 1
    assert found["celeryql_workers_online", "ml_service"] == 0
    assert found["celeryql_task_wait_seconds_count", "wait"] == 1
    assert found["celeryql_task_wait_seconds_sum", "wait"] > 0.2  # a worker takes longer to start
    assert found["celeryql_task_run_seconds_count", "wait"] == 1
    assert 0.2 <= found["celeryql_task_run_seconds_sum", "wait"] < 2
    assert found["celeryql_task_run_seconds_bucket", "wait", "0.1"] == 0
    assert found["celeryql_task_run_seconds_bucket", "wait", "7200.0"] == 1
    # The other API enqueued it.
    assert ("celeryql_enqueue_duration_seconds_count", "wait") not in found


async def test_a_step_waits_from_when_it_is_ready(api, worker):
    wait, add = ({"step": {"task": task}} for task in ({"wait": {"seconds": 1}}, {"add": {"x": 1}}))
    with worker():
        workflow = await api.enqueue("workflow", canvas={"chain": [wait, add]})
        await api.events(WATCH, id=workflow)
        found = await samples(api)

    assert found["celeryql_task_wait_seconds_sum", "add"] < 0.9
    assert 1 <= found["celeryql_task_run_seconds_sum", "workflow"] < 5
    assert found["celeryql_task_wait_seconds_count", "workflow"] == 0


async def test_live_subscriptions_and_their_events_are_counted(api):
    task = await api.enqueue("add", x=1, y=2)
    live, opened = ("celeryql_live_subscriptions",), ("celeryql_open_sockets",)

    async with aclosing(api.watch(WATCH, id=task)) as messages:
        await anext(messages)
        during = await samples(api)
    async with asyncio.timeout(10):
        while (after := await samples(api))[live]:
            pass

    assert (during[live], during[opened]) == (1, 1)
    assert after["celeryql_events_delivered_total", "task"] == 1
    assert after["celeryql_graphql_requests_total", "task", "canceled", "subscription"] == 1
    assert after["process_resident_memory_bytes",] > 10_000_000


async def test_an_aborted_stream_is_no_longer_live(api):
    task = await api.enqueue("add", x=1, y=2)
    live, opened = ("celeryql_live_subscriptions",), ("celeryql_open_sockets",)
    body = {"query": WATCH, "variables": {"id": task}}
    async with httpx.AsyncClient(timeout=10) as http:
        asked = {"json": body, "headers": {"accept": "text/event-stream"}}
        async with (
            http.stream("POST", f"{api.url}/graphql", **asked) as answer,
            aclosing(answer.aiter_lines()) as lines,
        ):
            await anext(lines)
            during = await samples(api)
    async with asyncio.timeout(10):
        while (after := await samples(api))[live]:
            pass

    assert [during[live], during[opened]] == [1, 1]
    assert [after[live], after[opened]] == [0, 0]


@pytest.mark.alone
@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_without_redis_the_metrics_of_the_process_come_within_a_second(api, server, fault):
    await api.enqueue("add", x=1, y=2)
    assert (await samples(api))["celeryql_redis_reachable",] == 1
    getattr(server, fault)()

    began = time.monotonic()
    found = await samples(api)

    assert time.monotonic() - began < 1
    assert found["celeryql_redis_reachable",] == 0
    assert found["celeryql_graphql_requests_total", "enqueueAdd", "ok", "mutation"] == 1
    assert ("celeryql_queue_depth", "celery") not in found


async def test_openmetrics_is_served_on_request(api):
    answer = await scrape(api, accept="application/openmetrics-text; version=1.0.0")

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.count("# EOF") == 1
    assert answer.text.endswith("# EOF\n")


async def test_only_this_machine_may_read_metrics_without_a_token(api, server):
    settings = Settings(redis_url=server.url, **TOKEN)
    async with serving(settings) as guarded:
        refused = [
            *[await scrape(api, **{name: "192.0.2.1"}) for name in OF_PROXIES],
            await scrape(api, host="elsewhere.example"),
            await scrape(guarded),
            await scrape(guarded, authorization="Bearer of-another"),
        ]
        answered = await scrape(guarded, authorization=f"Bearer {METRICS_TOKEN}")

    assert [answer.status_code for answer in refused] == [403] * (len(OF_PROXIES) + 3)
    assert "METRICS_TOKEN" in refused[0].text
    assert answered.status_code == 200


@pytest.mark.parametrize(
    "public",
    [{"proxy_headers": True}, {"auth_jwt_secret": "a secret of at least thirty-two bytes"}],
)
async def test_a_public_api_requires_a_token_from_its_own_machine_as_well(server, public):
    settings = Settings(redis_url=server.url, **public)
    async with serving(settings) as bare, serving(settings.model_copy(update=TOKEN)) as guarded:
        refused = await scrape(bare)
        answered = await scrape(guarded, authorization=f"Bearer {METRICS_TOKEN}")

    assert (refused.status_code, answered.status_code) == (403, 200)

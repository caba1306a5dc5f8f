"""Test that the API recovers from each way in which its connections to Redis can break."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest

from tests.faults.extent import show_figure
from tests.faults.site import Site
from tests.processes import Server
from tests.proxy import Link, Proxy

pytestmark = pytest.mark.slow

RECOVERED_S = 5.0
FAULT_S = 2.0  # duration of temporary faults
AT_ONCE = 20  # concurrent requests, so that many connections are idle afterwards
ADD = """
mutation {
  enqueueAdd(input: {x: 1, y: 2}) {
    __typename ... on EnqueueAddSuccess { task { id } } ... on Unavailable { message }
  }
}
"""
TASK = "query($id: ID!) { task(id: $id) { state } }"
WATCH = "subscription($id: ID!) { task(id: $id) { task { state version } } }"


@pytest.fixture(scope="module")
def site(project, tmp_path_factory):
    """Run one API behind a proxy for all faults, and a worker that is not behind it."""
    folder = tmp_path_factory.mktemp("connections")
    server = Server(folder / "redis")
    server.start()
    with ExitStack() as stack:
        stack.callback(server.close)
        proxy = stack.enter_context(Proxy(server.url))
        site = Site(project, folder, server, {"REDIS_URL": proxy.url}, stack)
        site.proxy = proxy
        site.run_api()
        site.run_worker("a", "solo", REDIS_URL=server.url)
        yield site
        site.clear()


class Subscription:
    """A live subscription to one task, and its events so far."""

    def __init__(self, client, task_id):
        self.events = []  # state and version
        self._stream = client.watch(WATCH, id=task_id)

    async def until(self, state, deadline_s):
        async with asyncio.timeout(deadline_s):
            while state not in dict(self.events):
                message = await anext(self._stream)
                assert message["type"] == "next", message
                task = message["payload"]["data"]["task"]["task"]
                self.events.append((task["state"], task["version"]))


class Trial:
    """Sends requests to one API over persistent connections."""

    def __init__(self, http):
        self._http = http

    async def ask(self, operation, **variables):
        body = {"query": operation, "variables": variables}
        return (await self._http.post("/graphql", json=body)).json()

    async def is_accepted(self):
        return (await self.ask(ADD))["data"]["enqueueAdd"]["__typename"] == "EnqueueAddSuccess"

    async def is_read(self, task_id):
        return "errors" not in await self.ask(TASK, id=task_id)

    async def is_ready(self):
        return (await self._http.get("/readyz")).status_code == 200

    async def all_at_once(self, task_id):
        """Send many concurrent requests and return whether each succeeded."""
        mutations = [self.is_accepted() for _ in range(AT_ONCE)]
        queries = [self.is_read(task_id) for _ in range(AT_ONCE)]
        return await asyncio.gather(*mutations, *queries)


async def recovered(condition):
    """Wait until a condition holds, and return how long that took."""
    began = time.monotonic()
    async with asyncio.timeout(RECOVERED_S):
        while not await condition():  # noqa: ASYNC110  # there is no event to await
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def reset_idle(proxy, trial):
    proxy.each(Link.reset)


async def reset_in_flight(proxy, trial):
    proxy.each(Link.reset_on_answer)
    await trial.all_at_once("x")


async def finish(proxy, trial):
    proxy.each(Link.finish)


async def half_close(proxy, trial):
    proxy.each(Link.half_close)


async def black_hole(proxy, trial):
    """Drop all packets for a while, and those of existing connections for ever."""
    proxy.is_hole = True
    proxy.each(Link.swallow)
    until = time.monotonic() + FAULT_S
    while time.monotonic() < until:
        await trial.all_at_once("x")
    proxy.is_hole = False


async def latency(proxy, trial):
    proxy.latency_s = 0.2
    until = time.monotonic() + FAULT_S
    while time.monotonic() < until:
        await trial.all_at_once("x")
    assert await trial.is_accepted()  # a slow Redis is not an outage
    proxy.latency_s = 0.0


FAULTS = [reset_idle, reset_in_flight, finish, half_close, black_hole, latency]


@asynccontextmanager
async def frozen(worker):
    """Freeze a worker for the duration of a block, so that it does not sweep either."""
    worker.freeze()
    try:
        yield
    finally:
        worker.thaw()


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_api_recovers_within_seconds_after(fault, site):
    (worker,) = site.workers
    async with httpx.AsyncClient(base_url=site.client.url, timeout=30) as http:
        trial = Trial(http)
        task_id = await site.enqueue(
            "work", {"start": {"inSeconds": FAULT_S + 1}}, key=fault.__name__, seconds=0
        )
        subscription = Subscription(site.client, task_id)
        await subscription.until("SCHEDULED", 10)
        assert all(await trial.all_at_once(task_id))

        async with frozen(worker):
            await fault(site.proxy, trial)
            took_s = {
                "mutations": await recovered(trial.is_accepted),
                "queries": await recovered(lambda: trial.is_read(task_id)),
                "ready": await recovered(trial.is_ready),
            }
            assert all(await trial.all_at_once(task_id))
            began = time.monotonic()
            await subscription.until("QUEUED", RECOVERED_S)  # only the API can sweep now
            took_s["sweep and stream"] = time.monotonic() - began
        await subscription.until("SUCCEEDED", 10)

    show_figure(f"{fault.__name__}: " + ", ".join(f"{k} {v:.2f} s" for k, v in took_s.items()))
    states = ["SCHEDULED", "QUEUED", "RUNNING", "SUCCEEDED"]
    assert subscription.events == list(zip(states, range(1, 5), strict=True))
    assert site.ledger.counts()[fault.__name__] == 1

"""Test a network partition: packets between this machine and Redis vanish without an error."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import ExitStack

import httpx
import pytest

from graphql_api.local.redis_server import ping_failure, write_config
from tests.faults.extent import WHOLE, show_figure
from tests.faults.flood import Flood
from tests.faults.site import Site
from tests.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.alone]

CUT_S = 20.0 if WHOLE else 12.0
HERE, THERE = "10.213.77.1", "10.213.77.2"  # addresses of this machine and of Redis
ADD = """
mutation {
  enqueueAdd(input: {x: 1, y: 2}) {
    __typename ... on EnqueueAddSuccess { task { id } } ... on Unavailable { message }
  }
}
"""


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


class Network:
    """Connects this machine with a namespace for Redis, through a switch in another namespace.

    A partition turns the switch off. Both links stay up, and packets vanish.
    """

    def __enter__(self):
        self.__exit__()
        for name in ("cql-redis", "cql-switch"):
            ip(f"netns add {name}")
        ip("link add cql-here type veth peer name here netns cql-switch")
        ip("-n cql-redis link add eth type veth peer name there netns cql-switch")
        ip("-n cql-switch link add switch type bridge")
        for port in ("here", "there"):
            ip(f"-n cql-switch link set {port} master switch up")
        ip("-n cql-switch link set switch up")
        ip(f"addr add {HERE}/30 dev cql-here")
        ip("link set cql-here up")
        ip(f"-n cql-redis addr add {THERE}/30 dev eth")
        ip("-n cql-redis link set eth up")
        return self

    def cut(self):
        ip("-n cql-switch link set switch down")

    def heal(self):
        ip("-n cql-switch link set switch up")

    def __exit__(self, *_):
        for name in ("cql-redis", "cql-switch"):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", "cql-here"], check=False, capture_output=True)


@pytest.fixture
def network():
    try:
        with Network() as network:
            yield network
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine does not allow network namespaces: {error}")


class FarRedis:
    """A Redis in its own network namespace."""

    def __init__(self, folder):
        config = write_config(folder)
        conf = config.folder / "redis.conf"
        conf.write_text(conf.read_text().replace("bind 127.0.0.1", f"bind {THERE}"))
        self.url = config.url.replace("127.0.0.1", THERE)
        self.argv = ["ip", "netns", "exec", "cql-redis", *config.argv]


@pytest.fixture
def site(network, project, tmp_path):  # needs the network first
    server = FarRedis(tmp_path / "redis")
    process = subprocess.Popen(server.argv, stdout=subprocess.DEVNULL)
    with ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.terminate)
        settings = {"REDIS_URL": server.url, "VISIBILITY_TIMEOUT": "5"}
        site = Site(project, tmp_path, server, settings, stack)
        wait_until(lambda: not ping_failure(server.url, 1.0), "Redis answers")
        site.run_api()
        yield site
        for worker in site.workers:
            worker.kill()


async def ask(http):
    began = time.monotonic()
    answer = (await http.post("/graphql", json={"query": ADD})).json()
    return answer["data"]["enqueueAdd"], time.monotonic() - began


async def test_a_partition_is_reported_fast_and_work_resumes_after_it(site, network):
    pools = {"a": "prefork", "b": "solo"}
    workers = [site.run_worker(name, pool) for name, pool in pools.items()]
    flood = Flood(site, seconds=0.05)
    await flood.enqueue(600)
    await asyncio.sleep(1)

    async with httpx.AsyncClient(base_url=site.client.url, timeout=30) as http:
        network.cut()
        cut_at = time.monotonic()
        slowest_s, ready_s = 0.0, 0.0
        while time.monotonic() - cut_at < CUT_S:
            payload, took_s = await ask(http)
            slowest_s = max(slowest_s, took_s)
            assert payload["__typename"] == "Unavailable"
            began = time.monotonic()
            ready = await http.get("/readyz")
            ready_s = max(ready_s, time.monotonic() - began)
            assert ready.status_code == 503
            assert (await http.get("/healthz")).status_code == 200
        network.heal()
        healed_at, healed = time.monotonic(), time.time()
        while (await ask(http))[0]["__typename"] == "Unavailable":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        accepts_s = time.monotonic() - healed_at
    consumes_s = await flood.wait_until_all_consume(workers, healed, 30)

    show_figure(f"refused within {slowest_s:.2f} s, not ready within {ready_s:.2f} s")
    show_figure(
        f"after the cut: accepted within {accepts_s:.1f} s, consumed within {consumes_s:.1f} s"
    )
    assert slowest_s < 1.5
    assert ready_s < 1.0
    assert max(accepts_s, consumes_s) < 10
    states = await site.all_end()
    assert set(states) == {"SUCCEEDED"}
    assert set(site.ledger.counts()) == set(flood.keys)
    assert site.messages_left() == {}

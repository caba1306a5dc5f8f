"""Two thousand subscriptions on one API process get every event, and memory stays flat.

`STREAM_LOAD_S=30 ./dev test -k two_thousand -o log_cli=true -o log_cli_level=INFO` takes longer and
logs meaningful figures.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psutil
import pytest
from websockets.asyncio.client import connect

from tests.client import Client
from tests.processes import running_api

pytestmark = [pytest.mark.slow, pytest.mark.alone]

WATCH = """
subscription($id: ID!) { task(id: $id) { at kind task { id state version } } }
"""
LOAD_S = float(os.environ.get("STREAM_LOAD_S", "5"))
SOCKETS, SUBSCRIPTIONS, TASKS, DELIVERED_PER_S = 40, 2_000, 200, 2_000

logger = logging.getLogger(__name__)


class Counting:
    """Counts the events that subscribers get, and detects missing ones."""

    def __init__(self):
        self.seen = {}
        self.delivered = 0
        self.lags_s = []
        self.all_have_begun = asyncio.Event()

    def take(self, subscription: tuple[int, str], event: dict) -> None:
        version = event["task"]["version"]
        if subscription not in self.seen:
            assert event["kind"] == "SNAPSHOT"
            if len(self.seen) == SUBSCRIPTIONS - 1:
                self.all_have_begun.set()
        else:
            assert version == self.seen[subscription] + 1
            self.delivered += 1
            if self.delivered % 100 == 0:
                at = datetime.fromisoformat(event["at"])
                self.lags_s.append((datetime.now(UTC) - at).total_seconds())
        self.seen[subscription] = version


async def subscribe_many(url: str, number: int, ids: list[str], counting: Counting) -> None:
    """Open one socket with a subscription to each task until all have completed."""
    ws = connect(
        url.replace("http", "ws", 1) + "/graphql",
        subprotocols=["graphql-transport-ws"],
        compression=None,
    )
    async with ws as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        await socket.recv()
        for task_id in ids:
            payload = {"query": WATCH, "variables": {"id": task_id}}
            await socket.send(json.dumps({"id": task_id, "type": "subscribe", "payload": payload}))
        is_open = set(ids)
        while is_open:
            message = json.loads(await socket.recv())
            if message["type"] == "complete":
                is_open.remove(message["id"])
            else:
                event = message["payload"]["data"]["task"]
                counting.take((number, message["id"]), event)


@asynccontextmanager
async def measured(url: str):
    """Sample the memory of an API process, in MB."""
    port = url.rpartition(":")[2]
    (api,) = [p for p in psutil.Process().children() if port in p.cmdline()]
    samples = []

    async def sample() -> None:
        while True:
            samples.append(api.memory_info().rss / 1e6)
            await asyncio.sleep(0.2)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()


async def test_two_thousand_subscriptions_get_every_event_in_flat_memory(
    environment, logs, producing, accept
):
    counting = Counting()
    rate = DELIVERED_PER_S * TASKS / SUBSCRIPTIONS
    with running_api(environment, logs / "load.log") as url:
        ids = await accept(Client(url), TASKS, "load")
        share = SUBSCRIPTIONS // SOCKETS
        shares = [[ids[(n * share + i) % TASKS] for i in range(share)] for n in range(SOCKETS)]
        sockets = asyncio.gather(
            *[subscribe_many(url, n, mine, counting) for n, mine in enumerate(shares)]
        )
        async with asyncio.timeout(60):
            await counting.all_have_begun.wait()
        count = int(LOAD_S * rate)
        began = time.monotonic()
        with producing("RETRY", count, rate, *ids):
            async with measured(url) as rss_mb, asyncio.timeout(LOAD_S + 60):
                await sockets
        took_s = time.monotonic() - began
    lags_s = sorted(counting.lags_s)
    p50_s, p99_s = (lags_s[int(len(lags_s) * part)] for part in (0.5, 0.99))
    logger.info(
        "%d events in %.1f s, lag p50 %.3f s and p99 %.3f s, memory %.1f to %.1f MB",
        counting.delivered, took_s, p50_s, p99_s, min(rss_mb), max(rss_mb),
    )  # fmt: skip

    # For each task: started, the produced events, succeeded.
    assert counting.delivered == SUBSCRIPTIONS // TASKS * (count + 2 * TASKS)
    assert max(rss_mb) - rss_mb[len(rss_mb) // 4] < 15

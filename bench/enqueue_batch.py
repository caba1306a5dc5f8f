"""How much faster a batch of 1,000 is than 1,000 single mutations: `python -m bench.enqueue_batch`.

Both go to one API process over HTTP, in alternating rounds of one run, with no worker beside. The
single mutations keep eight connections busy at once; the batch is one request on one connection.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tasks.engine.embedded import private_redis
from tests.processes import running_api

TASKS = 1_000
CONNECTIONS = 8
ROUNDS = 5
ASKED = 5  # times the rate of single mutations

SINGLE = """
mutation($x: Float!) { enqueueAdd(input: {x: $x, y: 2}) {
  ... on EnqueueAddSuccess { task { id state } } } }
"""
BATCH = """
mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) {
  ... on EnqueueBatchSuccess { items { task { id state } } } } }
"""


async def _post(http: httpx.AsyncClient, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    answer = (await http.post("/graphql", json={"query": query, "variables": variables})).json()
    data: dict[str, Any] = answer["data"]
    return data


async def _singles(http: httpx.AsyncClient) -> None:
    numbers = iter(range(TASKS))

    async def enqueue() -> None:
        for x in numbers:
            data = await _post(http, SINGLE, {"x": x})
            assert data["enqueueAdd"]["task"]["state"] == "QUEUED"

    await asyncio.gather(*(enqueue() for _ in range(CONNECTIONS)))


async def _batch(http: httpx.AsyncClient) -> None:
    tasks = [{"task": {"add": {"x": x, "y": 2}}} for x in range(TASKS)]
    data = await _post(http, BATCH, {"tasks": tasks})
    assert [item["task"]["state"] for item in data["enqueueBatch"]["items"]] == ["QUEUED"] * TASKS


async def _rates(url: str) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {"single": [], "batch": []}
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        await _singles(http)  # the first round warms the caches of both sides
        for _ in range(ROUNDS):
            for name, run in (("single", _singles), ("batch", _batch)):
                began = time.perf_counter()
                await run(http)
                rates[name].append(TASKS / (time.perf_counter() - began))
    return rates


def main() -> int:
    """Print tasks per second of both, and their ratio; fail below what is asked."""
    with (
        TemporaryDirectory() as folder,
        private_redis(Path(folder) / "redis") as url,
        running_api({"REDIS_URL": url}, Path(folder) / "api.log") as api,
    ):
        rates = asyncio.run(_rates(api))
    single, batch = (statistics.median(rates[name]) for name in ("single", "batch"))
    lines = [
        f"{TASKS} single mutations on {CONNECTIONS} connections: {single:8,.0f} tasks/s",
        f"one batch of {TASKS}:                       {batch:8,.0f} tasks/s",
        f"ratio ({ASKED} is asked):                      {batch / single:8.1f}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if batch / single >= ASKED else 1


if __name__ == "__main__":
    sys.exit(main())

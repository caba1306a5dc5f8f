"""Measure tasks per second (wall clock) of one request that enqueues a batch of 1,000 tasks.

The peers are a FastAPI endpoint that calls `.delay()` for each of the 1,000 tasks, and 1,000 of our
own mutations over eight connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from bench.http import connected, post_all
from bench.measure import alternate, seconds
from bench.operations import ADD, BATCH, adds
from bench.rows import Row
from bench.stage import Stage

_TASKS = 1_000


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with as many calls of `.delay()`, and with as many mutations."""
    count = stage.times(_TASKS)
    with stage.api() as api, stage.peer("plain_api") as plain:
        took = await alternate(
            stage.rounds,
            ours=partial(seconds, partial(_ours, api.url, count)),
            theirs=partial(seconds, partial(_theirs, plain.url, count)),
            singles=partial(seconds, partial(_singles, api.url, count)),
        )
    rates = {name: count / seconds_ for name, seconds_ in took.items()}
    what = f"{count:,} tasks in one enqueueBatch"
    for side, peer, to_reach in (("theirs", ".delay()", 8), ("singles", "mutations", 5)):
        yield Row(
            what,
            f"{count:,} x {peer}",
            rates["ours"],
            rates[side],
            "tasks/s",
            to_reach,
            is_rate=True,
        )


# Each round opens a new connection, because servers close connections that idle in between.


async def _ours(url: str, count: int) -> None:
    async with connected(url) as to:
        data = await to.query(BATCH, tasks=adds(count))
    states = [item["task"]["state"] for item in data["enqueueBatch"]["items"]]
    assert states == ["QUEUED"] * count


async def _theirs(url: str, count: int) -> None:
    async with connected(url) as to:
        answer = await to.post("/add-many", [{"x": x, "y": 2} for x in range(count)])
    assert len(answer) == count


async def _singles(url: str, count: int) -> None:
    bodies = [{"query": ADD, "variables": {"x": x}} for x in range(count)]
    await post_all(url, "/graphql", bodies)

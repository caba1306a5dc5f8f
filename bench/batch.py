"""Tasks per second, on the clock, of one batch of 1,000: how long its one request takes.

Peers are a request to FastAPI with the same 1,000, which calls `.delay()` for each, and as many
mutations of ours on eight connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from bench.http import Connection, connected, post_all
from bench.measure import alternate, seconds
from bench.operations import ADD, BATCH, adds
from bench.rows import Row
from bench.stage import Stage

_TASKS = 1_000


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with as many calls, and with as many mutations."""
    count = stage.times(_TASKS)
    with stage.api() as api, stage.peer("plain_api") as plain:
        async with connected(api.url) as to_api, connected(plain.url) as to_plain:
            took = await alternate(
                stage.rounds,
                ours=partial(seconds, partial(_ours, to_api, count)),
                theirs=partial(seconds, partial(_theirs, to_plain, count)),
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


async def _ours(to: Connection, count: int) -> None:
    data = await to.query(BATCH, tasks=adds(count))
    states = [item["task"]["state"] for item in data["enqueueBatch"]["items"]]
    assert states == ["QUEUED"] * count


async def _theirs(to: Connection, count: int) -> None:
    answer = await to.post("/add-many", [{"x": x, "y": 2} for x in range(count)])
    assert len(answer) == count


async def _singles(url: str, count: int) -> None:
    bodies = [{"query": ADD, "variables": {"x": x}} for x in range(count)]
    await post_all(url, "/graphql", bodies)

"""Tasks per second, on the clock, of one batch of 1,000: how long its one request takes.

The peer is a request to FastAPI with the same 1,000, which calls `.delay()` for each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from bench.http import Connection, connected
from bench.measure import alternate, seconds
from bench.operations import BATCH, adds
from bench.rows import Row
from bench.stage import Stage

_TASKS = 1_000


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with as many `.delay()`."""
    count = stage.times(_TASKS)
    with stage.api() as api, stage.peer("plain_api") as plain:
        async with connected(api.url) as to_api, connected(plain.url) as to_plain:
            took = await alternate(
                stage.rounds,
                ours=partial(seconds, partial(_ours, to_api, count)),
                theirs=partial(seconds, partial(_theirs, to_plain, count)),
            )
    ours, theirs = count / took["ours"], count / took["theirs"]
    what, peer = f"{count:,} tasks in one enqueueBatch", f"{count:,} x .delay()"
    yield Row(what, peer, ours, theirs, "tasks/s", 8, is_rate=True)


async def _ours(to: Connection, count: int) -> None:
    data = await to.query(BATCH, tasks=adds(count))
    states = [item["task"]["state"] for item in data["enqueueBatch"]["items"]]
    assert states == ["QUEUED"] * count


async def _theirs(to: Connection, count: int) -> None:
    answer = await to.post("/add-many", [{"x": x, "y": 2} for x in range(count)])
    assert len(answer) == count

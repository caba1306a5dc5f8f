"""Measure the milliseconds from the start of a state write until a client receives its frame.

There are 1,000 sockets with one subscription each. Writes happen one at a time, at most 200 a
second, so that no queueing is measured. The peer's write is a bare PUBLISH, which a relay passes to
one WebSocket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from statistics import median, quantiles
from uuid import uuid4

from bench.driver_client import DriverClient, running_driver
from bench.operations import WATCH_ONE, adds, enqueue
from bench.rows import Row
from bench.stage import Stage
from bench.watching import Socket, open_all, sockets

_SUBSCRIPTIONS = 1_000
_PAUSE_S = 0.005
_OUR_WRITE, _PEER_WRITE = "write_progress", "publish_to_relay"  # commands of the driver

Receivers = Mapping[str, Socket]


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with a raw relay."""
    count = stage.times(_SUBSCRIPTIONS)
    async with AsyncExitStack() as held:
        driver = await held.enter_async_context(running_driver(stage, "ours"))
        ours = await _watch_ours(stage, count, held)
        theirs = await _watch_relay(stage, count, held)
        taken: dict[str, list[list[float]]] = {_OUR_WRITE: [], _PEER_WRITE: []}
        for _ in range(stage.rounds):
            for command, receivers in ((_OUR_WRITE, ours), (_PEER_WRITE, theirs)):
                taken[command].append(await _latencies_ms(driver, command, receivers))
    for percent, to_reach in ((50, 1.5), (99, 2)):
        value, peer = (
            median(quantiles(round_, n=100)[percent - 1] for round_ in taken[command])
            for command in (_OUR_WRITE, _PEER_WRITE)
        )
        what = f"state written to frame, {count:,} subscriptions, p{percent}"
        yield Row(what, "raw relay", value, peer, "ms", to_reach)


async def _watch_ours(stage: Stage, count: int, held: AsyncExitStack) -> Receivers:
    api = held.enter_context(stage.api())
    ids = await enqueue(api.url, adds(count))
    opened = await held.enter_async_context(sockets(api.url, count))

    async def subscribe(socket: Socket, id_: str) -> None:
        await socket.subscribe(WATCH_ONE, [{"id": id_}])
        await socket.receive(1)  # the snapshot

    await asyncio.gather(*map(subscribe, opened, ids))
    return dict(zip(ids, opened, strict=True))


async def _watch_relay(stage: Stage, count: int, held: AsyncExitStack) -> Receivers:
    relay = held.enter_context(stage.peer("relay"))
    ids = [str(uuid4()) for _ in range(count)]
    address = relay.url.replace("http", "ws", 1)
    opened = await open_all([f"{address}/{id_}" for id_ in ids], held)
    return dict(zip(ids, map(Socket, opened), strict=True))


async def _latencies_ms(driver: DriverClient, command: str, receivers: Receivers) -> list[float]:
    async def arrival(socket: Socket) -> float:
        await socket.next_text()
        return time.monotonic()

    waiting = {id_: asyncio.create_task(arrival(socket)) for id_, socket in receivers.items()}
    began = await driver.call(command, list(receivers), _PAUSE_S)
    return [(await waiting[id_] - began[id_]) * 1_000 for id_ in receivers]

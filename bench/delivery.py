"""Measure events delivered per second of server CPU, to one subscriber and to 1,000.

Each event is a change of one task, and subscribers watch all tasks. The server is stopped while
events accumulate, so that both sides start with equally many, however long writing them takes. The
peer is a bare Strawberry subscription with one reader of a Redis channel and a queue a subscriber.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from bench.driver_client import DriverClient, running_driver
from bench.measure import alternate, cpu_us_each
from bench.operations import adds, enqueue
from bench.rows import Row
from bench.stage import Server, Stage
from bench.watching import Socket, sockets

_EVENTS = {1: 1_000, 1_000: 10}  # by number of subscribers
_ON_ONE_SOCKET = 50
_DOCUMENT = "subscription { tasks { task { id state version } } }"


@dataclass(frozen=True)
class Servers:
    """The processes that take part; the `other` API accepts the tasks, and is not measured."""

    driver: DriverClient
    api: Server
    other: Server
    bare: Server


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with a bare subscription."""
    async with AsyncExitStack() as held:
        driver = await held.enter_async_context(running_driver(stage, "ours"))
        api, other = held.enter_context(stage.api()), held.enter_context(stage.api())
        servers = Servers(driver, api, other, held.enter_context(stage.peer("naive_graphql")))
        for subscribers, events in _EVENTS.items():
            count = stage.times(subscribers)
            us = await _us_each(servers, stage.rounds, count, stage.times(events))
            ours, theirs = 1e6 / us["ours"], 1e6 / us["theirs"]
            what = f"events delivered to {count:,} subscriber{'s' * (count > 1)}"
            yield Row(what, "bare Strawberry", ours, theirs, "/s CPU", 1, is_rate=True)


async def _us_each(
    servers: Servers, rounds: int, subscribers: int, events: int
) -> dict[str, float]:
    driver, api, bare = servers.driver, servers.api, servers.bare
    async with AsyncExitStack() as held:
        ours = await _subscribe(api, subscribers, held)
        theirs = await _subscribe(bare, subscribers, held)

        async def deliver_ours() -> float:
            ids = await enqueue(servers.other.url, adds(events))
            await _receive(ours, events, subscribers)  # the events of their acceptance
            os.kill(api.pid, signal.SIGSTOP)
            await driver.call("write_progress", ids, 0)
            run = partial(_resume, api, ours, events, subscribers)
            return await cpu_us_each(events * subscribers, run, api.pid)

        async def deliver_theirs() -> float:
            ids = [f"00000000-0000-4000-8000-{i:012}" for i in range(events)]
            os.kill(bare.pid, signal.SIGSTOP)
            await driver.call("publish_to_naive", ids)
            run = partial(_resume, bare, theirs, events, subscribers)
            return await cpu_us_each(events * subscribers, run, bare.pid)

        return dict(await alternate(rounds, ours=deliver_ours, theirs=deliver_theirs))


async def _subscribe(to: Server, subscribers: int, held: AsyncExitStack) -> Sequence[Socket]:
    whole, rest = divmod(subscribers, _ON_ONE_SOCKET)
    opened = await held.enter_async_context(sockets(to.url, whole + bool(rest)))
    for i, socket in enumerate(opened):
        await socket.subscribe(_DOCUMENT, [{}] * (_ON_ONE_SOCKET if i < whole else rest))
        await socket.until_live()
    return opened


async def _receive(opened: Sequence[Socket], events: int, subscribers: int) -> None:
    whole, rest = divmod(subscribers, _ON_ONE_SOCKET)
    counts = [_ON_ONE_SOCKET] * whole + [rest] * bool(rest)
    receiving = (s.receive(n * events) for s, n in zip(opened, counts, strict=True))
    await asyncio.gather(*receiving)


async def _resume(server: Server, opened: Sequence[Socket], events: int, subscribers: int) -> None:
    os.kill(server.pid, signal.SIGCONT)
    await _receive(opened, events, subscribers)

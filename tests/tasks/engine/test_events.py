"""Streams: what a watcher is given, in which order, and when it ends."""

from __future__ import annotations

import asyncio

import pytest

from tasks.arithmetic import add
from tasks.engine.accept import Options
from tasks.engine.events import _PENDING_MAX, Watcher
from tasks.engine.records import Event, Record


async def accept(engine) -> Record:
    definition = engine.definitions["add"]
    arguments = definition.arguments(x=1, y=2)
    accepted = await engine.submitter.enqueue(definition, arguments, Options(), "ann")
    return await engine.store.get(accepted.record.id)


def event(n: int, kind: str = "STATE", task_id: str = "a") -> Event:
    return Event(id=task_id, kind=kind, at=n, cursor=f"{n}-0", state="RUNNING", version=n)


async def test_a_watcher_gets_a_snapshot_then_each_event_until_the_last(engine, report):
    record = await accept(engine)
    watching = engine.feed.watch(record)
    snapshot = await anext(watching)

    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)
    rest = [happened.state async for happened in watching]

    assert (type(snapshot), snapshot.state) == (Record, "QUEUED")
    assert rest == ["RUNNING", "SUCCEEDED"]


async def test_a_finished_task_is_one_snapshot(engine, report):
    record = await accept(engine)
    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)

    assert [h.state async for h in engine.feed.watch(record)] == ["SUCCEEDED"]


async def test_a_resumed_watcher_gets_what_came_after_its_cursor(engine, report):
    record = await accept(engine)
    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)
    cursors = [e.cursor for e in await engine.store.history(record.id)]

    resumed = [[h.state async for h in engine.feed.watch(record, after)] for after in cursors]

    assert resumed == [["RUNNING", "SUCCEEDED"], ["SUCCEEDED"], []]


async def test_nothing_is_kept_for_a_watcher_that_left(engine):
    record = await accept(engine)
    watching = engine.feed.watch(record)
    await anext(watching)
    assert len(engine.feed._watchers) == 1

    await watching.aclose()

    assert engine.feed._watchers == {}


async def test_killed_connections_lose_no_event(engine, report, empty_redis):
    record = await accept(engine)
    watching = engine.feed.watch(record)
    await anext(watching)
    report(add, record.id, "STARTED")

    for i in range(20):
        if i % 5 == 0:
            empty_redis.client_kill_filter(_type="normal", skipme=True)
        report(add, record.id, "PROGRESS", {"current": i, "total": 20})
    report(add, record.id, "SUCCESS", 3.0)
    async with asyncio.timeout(10):
        told = [happened.version async for happened in watching]

    assert told[0] == 2
    assert told == sorted(set(told))
    assert told[-1] == 23


async def test_an_error_that_redis_answers_the_reader_with_ends_no_stream(
    engine, report, empty_redis
):
    record = await accept(engine)
    watching = engine.feed.watch(record)
    await anext(watching)
    (reader,) = [c for c in empty_redis.client_list() if c["name"] == "celeryql-feed"]

    empty_redis.client_unblock(int(reader["id"]), error=True)
    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)

    async with asyncio.timeout(10):
        assert [happened.state async for happened in watching] == ["RUNNING", "SUCCEEDED"]


async def test_an_outage_of_the_reader_is_made_up_for(engine, report):
    record = await accept(engine)
    watching = engine.feed.watch(record)
    await anext(watching)
    while not engine._reader.done():
        engine._reader.cancel()
        await asyncio.wait([engine._reader], timeout=0.1)

    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)
    engine._reader = asyncio.create_task(engine.feed.run())

    async with asyncio.timeout(10):
        assert [happened.state async for happened in watching] == ["RUNNING", "SUCCEEDED"]


async def test_progress_not_taken_yet_gives_way_to_newer():
    watcher = Watcher()

    for n, kind in enumerate(["STATE", "PROGRESS", "PROGRESS", "STATE", "PROGRESS"]):
        watcher.push(event(n, kind))

    assert [e.version for e in await watcher.take()] == [0, 2, 3, 4]


async def test_progress_of_one_task_does_not_replace_that_of_another():
    watcher = Watcher()

    watcher.push(event(1, "PROGRESS", "a"))
    watcher.push(event(2, "PROGRESS", "b"))

    assert [e.version for e in await watcher.take()] == [1, 2]


async def test_a_watcher_that_lags_too_far_keeps_a_bounded_rest_and_says_so():
    watcher = Watcher()

    for n in range(_PENDING_MAX + 1):
        watcher.push(event(n))

    assert watcher.has_lagged
    assert len(await watcher.take()) == 1


async def test_a_watcher_that_lagged_gets_every_state_from_the_history(engine, report):
    record = await accept(engine)
    watching = engine.feed.watch(record)
    await anext(watching)
    (watcher,) = engine.feed._watchers[record.root]
    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)
    watcher.has_lagged = True

    assert [happened.state async for happened in watching] == ["RUNNING", "SUCCEEDED"]


@pytest.mark.parametrize("cursor", ["", "x", "1-x"])
async def test_what_is_no_cursor_is_refused(engine, cursor):
    record = await accept(engine)

    with pytest.raises(ValueError, match="invalid literal"):
        await anext(engine.feed.watch(record, cursor))

"""The event reader of a process: it resumes after failures, and no subscriber loses an event."""

from __future__ import annotations

import asyncio

from celeryql.definition.options import EnqueueOptions
from celeryql.records import Record
from celeryql.state.listing import RecordFilter
from tasks.arithmetic import add


async def accept(engine) -> Record:
    definition = engine.definitions["add"]
    arguments = definition.arguments(x=1, y=2)
    accepted = await engine.submitter.enqueue(definition, arguments, EnqueueOptions(), "ann")
    return await engine.store.get(accepted.record.id)


async def start(engine) -> tuple:
    """Accept a task and watch it up to the snapshot."""
    record = await accept(engine)
    watching = engine.event_stream.watch(record)
    await anext(watching)
    return record, watching


async def states(watching) -> list[str]:
    async with asyncio.timeout(10):
        return [event.state async for event in watching]


async def test_the_stream_is_read_only_while_there_are_subscribers(engine):
    await accept(engine)
    before = engine.event_reader.newest_cursor

    record, watching = await start(engine)

    assert before == "0-0"
    assert engine.event_reader.newest_cursor == record.cursor
    await watching.aclose()


async def test_a_subscriber_that_leaves_is_removed(engine):
    record, watching = await start(engine)
    listing = engine.event_stream.watch_all("ann", RecordFilter(), "0-0")
    await anext(listing)
    assert set(engine.event_reader._by_root) == {record.id}
    assert set(engine.event_reader._by_owner) == {"ann"}

    await watching.aclose()
    await listing.aclose()

    assert engine.event_reader._by_root == {}
    assert engine.event_reader._by_owner == {}


async def test_killed_connections_lose_no_event(engine, report, empty_redis):
    record, watching = await start(engine)
    report(add, record.id, "STARTED")

    for i in range(20):
        if i % 5 == 0:
            empty_redis.client_kill_filter(_type="normal", skipme=True)
        report(add, record.id, "RETRY", ValueError("again"))
    report(add, record.id, "SUCCESS", 3.0)
    async with asyncio.timeout(10):
        versions = [event.version async for event in watching]

    assert versions == list(range(2, 24))


async def test_an_error_from_redis_does_not_end_a_stream(engine, report, empty_redis):
    record, watching = await start(engine)
    clients = empty_redis.client_list()  # including APIs of other tests, on another database
    (reader,) = [c for c in clients if (c["name"], c["db"]) == ("celeryql-events", "1")]

    empty_redis.client_unblock(int(reader["id"]), error=True)
    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)

    assert await states(watching) == ["RUNNING", "SUCCEEDED"]


async def test_a_restarted_reader_resumes_where_it_stopped(engine, report):
    record, watching = await start(engine)
    await stop_reading(engine)

    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)
    engine._background.append(asyncio.create_task(engine.event_reader.run()))

    assert await states(watching) == ["RUNNING", "SUCCEEDED"]


async def test_events_trimmed_before_they_were_read_come_from_the_history(
    engine, report, empty_redis, caplog
):
    record, watching = await start(engine)
    following = asyncio.ensure_future(anext(watching))
    report(add, record.id, "STARTED")
    first = await following
    await stop_reading(engine)

    for _ in range(5):
        report(add, record.id, "RETRY", ValueError("again"))
    report(add, record.id, "SUCCESS", 3.0)
    empty_redis.xtrim("celeryql:events", maxlen=1, approximate=False)
    engine._background.append(asyncio.create_task(engine.event_reader.run()))
    async with asyncio.timeout(10):
        versions = [event.version async for event in watching]

    assert [first.version, *versions] == [2, 3, 4, 5, 6, 7, 8]
    assert "Events 3 to 7 were trimmed before they were read" in caplog.text


async def test_an_unreadable_event_does_not_end_a_stream(engine, report, empty_redis, caplog):
    record, watching = await start(engine)
    number = empty_redis.incr("celeryql:event_number")
    broken = {"number": number, "root": record.id, "event": "broken"}
    empty_redis.xadd("celeryql:events", broken)

    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)

    assert await states(watching) == ["RUNNING", "SUCCEEDED"]
    assert "cannot be read" in caplog.text


async def stop_reading(engine) -> None:
    reader = engine._background[0]
    reader.cancel()
    while not reader.done():
        await asyncio.wait([reader], timeout=1)
        reader.cancel()  # again, for the reason that `engine.py` gives

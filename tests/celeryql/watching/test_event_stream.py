"""Event streams: which events a subscriber gets, in which order, and when the stream ends."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from celeryql.definition.options import EnqueueOptions
from celeryql.errors import CursorExpired, UnknownCursor
from celeryql.records import Record
from celeryql.state.listing import RecordFilter
from celeryql.state.store import Store
from celeryql.watching.event_stream import EventStream, Snapshot
from tasks.arithmetic import add

EVERYTHING = RecordFilter()


async def accept(engine, owner: str = "ann", **options) -> Record:
    definition = engine.definitions["add"]
    arguments = definition.arguments(x=1, y=2)
    accepted = await engine.submitter.enqueue(
        definition, arguments, EnqueueOptions(**options), owner
    )
    return await engine.store.get(accepted.record.id)


def run(report, record: Record) -> None:
    """Run a task to its end, which adds events 2 and 3."""
    report(add, record.id, "STARTED")
    report(add, record.id, "SUCCESS", 3.0)


def trim(redis, record: Record, newest_trimmed: str) -> None:
    """Trim the beginning of a task's history, as `lua/modules/events.lua` does."""
    key = f"celeryql:events:{record.root}"
    while redis.lindex(key, 0).split()[0] != newest_trimmed:
        redis.lpop(key)
    redis.lpop(key)
    redis.hset(f"celeryql:task:{record.root}", "trimmed", newest_trimmed)


async def take_all(watching) -> list[tuple[str, int]]:
    """Take all events; fail after 10 s."""
    async with asyncio.timeout(10), aclosing(watching):
        return [brief(item) async for item in watching]


def brief(item) -> tuple[str, int]:
    if isinstance(item, Snapshot):
        return item.kind.value, item.record.version
    return item.state.value, item.version


async def test_a_subscriber_gets_a_snapshot_and_each_event_until_the_final_one(engine, report):
    record = await accept(engine)
    watching = engine.event_stream.watch(record)
    snapshot = await anext(watching)

    run(report, record)

    assert brief(snapshot) == ("SNAPSHOT", 1)
    assert await take_all(watching) == [("RUNNING", 2), ("SUCCEEDED", 3)]


async def test_the_stream_of_a_finished_task_is_one_snapshot(engine, report):
    record = await accept(engine)
    run(report, record)

    assert await take_all(engine.event_stream.watch(record)) == [("SNAPSHOT", 3)]


async def test_a_resumed_subscriber_gets_the_events_after_its_cursor(engine, report):
    record = await accept(engine)
    run(report, record)
    cursors = [e.cursor for e in (await engine.store.read_history(record)).events]

    resumed = [await take_all(engine.event_stream.watch(record, after)) for after in cursors]

    assert resumed == [[("RUNNING", 2), ("SUCCEEDED", 3)], [("SUCCEEDED", 3)], []]


async def test_a_long_history_is_streamed_completely(engine, report):
    record = await accept(engine)
    report(add, record.id, "STARTED")
    for i in range(600):
        report(add, record.id, "PROGRESS", {"current": i})
    report(add, record.id, "SUCCESS", 3.0)

    given = await take_all(engine.event_stream.watch(record, record.cursor))

    assert [version for _, version in given] == list(range(2, 604))


async def test_a_subscriber_behind_the_history_gets_a_gap_and_continues(
    engine, report, empty_redis
):
    record = await accept(engine)
    report(add, record.id, "STARTED")
    report(add, record.id, "PROGRESS", {"current": 1})
    _, started, _ = (await engine.store.read_history(record)).events
    trim(empty_redis, record, started.cursor)
    watching = engine.event_stream.watch(record, record.cursor)
    first = [brief(await anext(watching)) for _ in range(2)]

    report(add, record.id, "SUCCESS", 3.0)

    assert first == [("GAP", 3), ("SNAPSHOT", 3)]
    assert await take_all(watching) == [("SUCCEEDED", 4)]


async def test_a_subscriber_that_has_seen_the_trimmed_events_gets_no_gap(
    engine, report, empty_redis
):
    record = await accept(engine)
    run(report, record)
    _, started, _ = (await engine.store.read_history(record)).events
    trim(empty_redis, record, started.cursor)

    assert await take_all(engine.event_stream.watch(record, started.cursor)) == [("SUCCEEDED", 3)]


async def test_the_stream_of_a_finished_task_with_a_gap_ends_after_the_snapshot(
    engine, report, empty_redis
):
    record = await accept(engine)
    run(report, record)
    _, started, _ = (await engine.store.read_history(record)).events
    trim(empty_redis, record, started.cursor)

    assert await take_all(engine.event_stream.watch(record, record.cursor)) == [
        ("GAP", 3),
        ("SNAPSHOT", 3),
    ]


async def test_a_new_subscriber_to_a_step_of_a_trimmed_workflow_gets_no_gap(
    engine, report, empty_redis
):
    """The history of a workflow is trimmed for all steps, including steps without recent events."""
    step, workflow = await accept(engine), await accept(engine)
    empty_redis.hset(f"celeryql:task:{step.id}", mapping={"root": workflow.id, "key": "a"})
    empty_redis.hset(f"celeryql:workflow:{workflow.id}", mapping={"graph": "[]", "total": 1})
    empty_redis.hset(f"celeryql:task:{workflow.id}", "trimmed", workflow.cursor)
    watching = engine.event_stream.watch(await engine.store.get(step.id))
    snapshot = await anext(watching)

    report(add, step.id, "STARTED")
    following = await anext(watching)
    await watching.aclose()

    assert (brief(snapshot), brief(following)) == (("SNAPSHOT", 1), ("RUNNING", 2))


async def test_a_slow_subscriber_gets_every_state(engine, report):
    record = await accept(engine)
    watching = engine.event_stream.watch(record)
    await anext(watching)
    taking = asyncio.ensure_future(anext(watching))
    report(add, record.id, "STARTED")
    assert brief(await taking) == ("RUNNING", 2)

    for _ in range(1_500):
        report(add, record.id, "RETRY", ValueError("again"))
    run_on = asyncio.create_task(take_all(watching))
    report(add, record.id, "SUCCESS", 3.0)

    assert [version for _, version in await run_on] == list(range(3, 1_504))


async def test_a_stream_of_all_tasks_starts_now(engine):
    before = await accept(engine)
    watching = engine.event_stream.watch_all("ann", EVERYTHING)
    first = asyncio.ensure_future(anext(watching))

    async with asyncio.timeout(5):
        while not first.done():  # when the stream has started cannot be seen from here
            await accept(engine)
            await asyncio.sleep(0.001)

    assert (await first).id != before.id
    await watching.aclose()


async def test_an_owner_gets_the_events_of_its_own_tasks(engine, report):
    mine, other = await accept(engine), await accept(engine, "bob")
    watching = engine.event_stream.watch_all("ann", EVERYTHING, other.cursor)
    first = asyncio.ensure_future(anext(watching))
    await until_subscribed(engine)

    run(report, other)
    run(report, mine)
    await accept(engine, "bob")
    late = await accept(engine)
    given = [await first, await anext(watching), await anext(watching)]
    await watching.aclose()

    assert [(e.id, brief(e)) for e in given] == [
        (mine.id, ("RUNNING", 2)), (mine.id, ("SUCCEEDED", 3)), (late.id, ("QUEUED", 1)),
    ]  # fmt: skip


async def test_a_stream_of_all_owners_has_the_tasks_of_all_owners(engine):
    start = await engine.store.newest_cursor()
    records = [await accept(engine, owner) for owner in ("ann", "bob", "")]

    async with aclosing(engine.event_stream.watch_all(None, EVERYTHING, start)) as watching:
        given = [await anext(watching) for _ in records]

    assert [event.id for event in given] == [record.id for record in records]


async def test_a_filter_applies_to_the_state_at_the_event_both_past_and_new(engine, report):
    start = await engine.store.newest_cursor()
    wanted = RecordFilter(states=frozenset({"RUNNING"}), tags=frozenset({"night"}))
    past, _ = await accept(engine, tags=("night",)), await accept(engine)
    run(report, past)
    watching = engine.event_stream.watch_all("ann", wanted, start)
    first = await anext(watching)

    second = asyncio.ensure_future(anext(watching))
    await until_subscribed(engine)
    present, other = await accept(engine, tags=("night",)), await accept(engine)
    run(report, other)
    run(report, present)

    assert [(e.id, brief(e)) for e in (first, await second)] == [
        (past.id, ("RUNNING", 2)), (present.id, ("RUNNING", 2)),
    ]  # fmt: skip
    await watching.aclose()


async def test_a_stream_of_all_tasks_resumes_after_every_cursor(engine, report):
    start = await engine.store.newest_cursor()
    for record in [await accept(engine) for _ in range(3)]:
        run(report, record)
    events = (await engine.store.read_stream(start)).events

    for i, event in enumerate(events[:-1]):
        async with aclosing(
            engine.event_stream.watch_all("ann", EVERYTHING, event.cursor)
        ) as watching:
            assert [await anext(watching) for _ in events[i + 1 :]] == events[i + 1 :]


async def test_a_cursor_older_than_the_stream_has_expired(engine, report, empty_redis):
    record = await accept(engine)
    run(report, record)
    empty_redis.xtrim("celeryql:events", maxlen=1, approximate=False)

    with pytest.raises(CursorExpired):
        await anext(engine.event_stream.watch_all("ann", EVERYTHING, record.cursor))


async def test_a_subscriber_slower_than_the_trimming_gets_an_error(engine, report, empty_redis):
    record = await accept(engine)
    watching = engine.event_stream.watch_all("ann", EVERYTHING, record.cursor)
    first = asyncio.ensure_future(anext(watching))
    await until_subscribed(engine)
    report(add, record.id, "STARTED")
    await first

    for _ in range(1_500):
        report(add, record.id, "RETRY", ValueError("again"))
    empty_redis.xtrim("celeryql:events", maxlen=10, approximate=False)
    with pytest.raises(CursorExpired):
        await take_all(watching)


async def test_a_subscriber_with_rare_matches_does_not_expire(engine, report, empty_redis):
    """Its last event may have been trimmed long ago, but no matching event is missing."""
    rare = await accept(engine, tags=("rare",))
    watching = engine.event_stream.watch_all(
        "ann", RecordFilter(tags=frozenset({"rare"})), rare.cursor
    )
    first = asyncio.ensure_future(anext(watching))
    await until_subscribed(engine)
    report(add, rare.id, "STARTED")
    await first

    for _ in range(20):
        await accept(engine)
    await until_read(engine)
    empty_redis.xtrim("celeryql:events", maxlen=1, approximate=False)
    (queue,) = engine.event_reader._by_owner["ann"]
    queue.mark_incomplete_after(engine.event_reader._newest)
    report(add, rare.id, "SUCCESS", 3.0)

    assert brief(await anext(watching)) == ("SUCCEEDED", 3)
    await watching.aclose()


@pytest.mark.parametrize("cursor", ["", "x", "1-x", "1--5", "+1_0- 7", "9" * 16 + "-0"])
async def test_an_invalid_cursor_is_refused(engine, cursor):
    record = await accept(engine)

    with pytest.raises(ValueError, match="is not a cursor"):
        await anext(engine.event_stream.watch(record, cursor))


async def test_a_cursor_ahead_of_all_events_is_unknown(engine):
    await accept(engine)
    newest = await engine.store.newest_cursor()

    await engine.event_stream.check_cursor(newest)
    with pytest.raises(UnknownCursor):
        await engine.event_stream.check_cursor(f"{newest}1")


class StubbornStore(Store):
    """Swallows the cancellation of a read, as redis-py on Python 3.11 can."""

    def __init__(self, redis):
        super().__init__(redis)
        self.is_reading = asyncio.Event()

    async def read_history(self, *arguments):
        self.is_reading.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return await super().read_history(*arguments)


async def test_a_canceled_subscriber_is_removed_even_if_a_library_swallows_it(engine):
    record = await accept(engine)
    store = StubbornStore(engine.redis)
    events = EventStream(engine.event_reader, store, engine.event_stream.record_cache)
    watching = asyncio.create_task(take_all(events.watch(record)))
    await store.is_reading.wait()

    watching.cancel()
    await asyncio.wait([watching], timeout=5)

    assert watching.cancelled()
    assert engine.event_reader._by_root == {}


async def until_subscribed(engine) -> None:
    """Wait for a subscriber to many tasks."""
    async with asyncio.timeout(5):
        while not engine.event_reader._by_owner:  # noqa: ASYNC110  # the reader has no event for this
            await asyncio.sleep(0.001)


async def until_read(engine) -> None:
    """Wait until the reader has read all events."""
    newest = await engine.store.newest_cursor()
    async with asyncio.timeout(5):
        while engine.event_reader._newest != newest:  # noqa: ASYNC110  # the reader has no event for this
            await asyncio.sleep(0.001)

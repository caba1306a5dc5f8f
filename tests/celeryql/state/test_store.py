"""Pages of events begin after a cursor, are bounded, and report events that are lost."""

from __future__ import annotations

import asyncio

import pytest

from celeryql.definition.options import EnqueueOptions
from celeryql.errors import CursorExpired
from tasks.arithmetic import add


@pytest.fixture
async def task(engine, report):
    """A finished task with 23 events."""
    definition = engine.definitions["add"]
    arguments = definition.arguments(x=1, y=2)
    accepted = await engine.submitter.enqueue(definition, arguments, EnqueueOptions(), "ann")
    report(add, accepted.record.id, "STARTED")
    for i in range(20):
        report(add, accepted.record.id, "PROGRESS", {"current": i, "total": 20})
    report(add, accepted.record.id, "SUCCESS", 3.0)
    return accepted.record


def versions(page) -> list[int]:
    return [event.version for event in page.events]


async def test_a_history_begins_with_the_oldest_event(engine, task):
    page = await engine.store.read_history(task, count=5)

    assert versions(page) == [1, 2, 3, 4, 5]
    assert page.more_after == page.events[-1].cursor


async def test_a_history_continues_after_each_of_its_cursors(engine, task):
    events = (await engine.store.read_history(task)).events

    rests = [versions(await engine.store.read_history(task, event.cursor)) for event in events]

    assert rests == [list(range(n + 1, 24)) for n in range(1, 24)]


async def test_the_last_page_has_no_next_cursor(engine, task):
    assert (await engine.store.read_history(task, count=24)).more_after is None


async def test_a_history_trimmed_after_a_cursor_reports_it(engine, task, empty_redis):
    events = (await engine.store.read_history(task)).events
    empty_redis.ltrim(f"celeryql:events:{task.id}", 10, -1)
    empty_redis.hset(f"celeryql:task:{task.id}", "trimmed", events[9].cursor)

    with pytest.raises(CursorExpired):
        await engine.store.read_history(task, events[8].cursor)
    assert versions(await engine.store.read_history(task, events[9].cursor, 1)) == [11]
    assert versions(await engine.store.read_history(task, None, 1)) == [11]


async def test_only_the_events_of_the_page_are_parsed(engine, task, empty_redis):
    empty_redis.lset(f"celeryql:events:{task.id}", 5, "9999999999999-0 broken")

    assert versions(await engine.store.read_history(task, count=5)) == [1, 2, 3, 4, 5]


async def test_the_stream_continues_after_a_cursor(engine, task):
    events = (await engine.store.read_history(task)).events

    page = await engine.store.read_stream(events[9].cursor, 5)
    last = await engine.store.read_stream(page.more_after)

    assert versions(page) == [11, 12, 13, 14, 15]
    assert versions(last) == [16, 17, 18, 19, 20, 21, 22, 23]
    assert last.more_after is None


async def test_a_stream_trimmed_after_a_cursor_reports_it(engine, task, empty_redis):
    events = (await engine.store.read_history(task)).events
    empty_redis.xtrim("celeryql:events", maxlen=10, approximate=False)

    with pytest.raises(CursorExpired):
        await engine.store.read_stream(events[11].cursor)
    assert versions(await engine.store.read_stream(events[13].cursor)) == list(range(15, 24))


async def test_only_an_event_that_cannot_be_read_is_left_out(engine, task, empty_redis, caplog):
    end = (await engine.store.read_history(task)).events[-1].cursor
    empty_redis.xadd("celeryql:events", {"number": 24, "root": task.id, "event": "broken"})
    empty_redis.xadd("celeryql:events", {"number": 25, "root": task.id, "event": '{"id": 1}'})

    assert (await engine.store.read_stream(end)).events == []
    assert caplog.text.count("cannot be read") == 2


async def test_no_task_has_an_id_with_a_lone_surrogate(engine, task):
    assert await engine.store.get_many(["\ud800", task.id]) == [
        None,
        await engine.store.get(task.id),
    ]


async def test_a_thousand_reads_at_once_share_a_few_connections(engine, task, empty_redis):
    await asyncio.gather(*[engine.store.get(task.id) for _ in range(1_000)])

    # An API of other tests may use another database of the same Redis.
    clients = [(client["name"], client["db"]) for client in empty_redis.client_list()]
    assert clients.count(("celeryql-read", "1")) <= 8


@pytest.mark.parametrize(
    ("celery_state", "shown"),
    [("PENDING", "QUEUED"), ("STARTED", "RUNNING"), ("POLISHING", "RUNNING"),
     ("RETRY", "RETRYING"), ("SUCCESS", "SUCCEEDED"), ("FAILURE", "FAILED"),
     ("REVOKED", "CANCELED")],
)  # fmt: skip
async def test_a_state_of_a_later_release_is_shown_by_its_celery_state(
    engine, task, empty_redis, celery_state, shown
):
    changed = {"state": "PARKED", "celery_state": celery_state}
    empty_redis.hset(f"celeryql:task:{task.id}", mapping=changed)

    record = await engine.store.get(task.id)

    assert (record.state, record.celery_state) == (shown, celery_state)
    assert (record.version, record.definition) == (23, "add")


async def test_only_a_field_that_cannot_be_read_has_its_default(engine, task, empty_redis):
    strange = {"priority": "URGENT", "progress": "12 %", "failure": "[]", "tags": "{}"}
    empty_redis.hset(f"celeryql:task:{task.id}", mapping=strange)

    record = await engine.store.get(task.id)

    assert (record.state, record.priority) == ("SUCCEEDED", "NORMAL")
    assert (record.progress, record.failure, record.tags) == (None, None, ())


async def test_an_event_of_a_later_release_is_shown_by_its_celery_state(engine, task, empty_redis):
    key = f"celeryql:events:{task.id}"
    newest = empty_redis.lindex(key, -1)
    empty_redis.lset(key, -1, newest.replace('"SUCCEEDED"', '"POLISHED"'))

    page = await engine.store.read_history(task)

    assert page.events[-1].state == "SUCCEEDED"
    assert versions(page) == list(range(1, 24))


async def test_an_event_of_an_unknown_kind_is_left_out_of_a_history(engine, task, empty_redis):
    key = f"celeryql:events:{task.id}"
    oldest = empty_redis.lindex(key, 0)
    empty_redis.lset(key, 0, oldest.replace('"STATE"', '"OUTPUT"'))

    assert versions(await engine.store.read_history(task)) == list(range(2, 24))

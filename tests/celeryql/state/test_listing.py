"""Pages of records are complete, in order and bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from celeryql.definition.options import EnqueueOptions
from celeryql.state.listing import ListingPosition, RecordFilter, list_page


async def accept(engine, n: int, owner: str = "ann", task: str = "add", **options) -> list[str]:
    definition = engine.definitions[task]
    given = {"message": "m"} if task == "echo" else {"x": 1, "y": 2}
    arguments = definition.arguments(**given)
    return [
        (
            await engine.submitter.enqueue(definition, arguments, EnqueueOptions(**options), owner)
        ).record.id
        for _ in range(n)
    ]


async def all_pages(engine, size: int, *, towards_newer: bool = False) -> list[list[str]]:
    pages, beyond = [], None
    while True:
        page = await list_page(
            engine.redis,
            engine.store,
            None,
            RecordFilter(),
            size=size,
            beyond=beyond,
            towards_newer=towards_newer,
        )
        pages.append([record.id for _, record in page.items])
        if not page.has_more:
            return pages
        beyond = page.resume


async def test_pages_go_from_the_newest_to_the_oldest(engine):
    ids = await accept(engine, 5)

    assert await all_pages(engine, 2) == [ids[:2:-1], ids[2:0:-1], ids[:1]]


async def test_pages_go_from_the_oldest_to_the_newest_too(engine):
    ids = await accept(engine, 5)

    assert await all_pages(engine, 2, towards_newer=True) == [ids[1::-1], ids[3:1:-1], ids[4:]]


async def test_new_tasks_do_not_disturb_paging(engine):
    ids = await accept(engine, 4)
    first = await list_page(engine.redis, engine.store, None, RecordFilter(), size=2)
    await accept(engine, 3)

    second = await list_page(
        engine.redis, engine.store, None, RecordFilter(), size=2, beyond=first.items[-1][0]
    )

    assert [record.id for _, record in second.items] == ids[1::-1]


async def test_an_owner_sees_only_its_own_tasks(engine):
    (of_ann,) = await accept(engine, 1, "ann")
    await accept(engine, 1, "bob")

    page = await list_page(engine.redis, engine.store, "ann", RecordFilter(), size=9)

    assert [record.id for _, record in page.items] == [of_ann]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        (RecordFilter(), 4),
        (RecordFilter(definitions=frozenset({"echo"})), 1),
        (RecordFilter(states=frozenset({"QUEUED"})), 4),
        (RecordFilter(states=frozenset({"FAILED"})), 0),
        (RecordFilter(queues=frozenset({"ml_service"})), 0),
        (RecordFilter(ids=frozenset()), 0),
        (RecordFilter(definitions=frozenset()), 0),
        (RecordFilter(states=frozenset()), 0),
        (RecordFilter(queues=frozenset()), 0),
        (RecordFilter(tags=frozenset()), 4),
        (RecordFilter(tags=frozenset({"a"})), 2),
        (RecordFilter(tags=frozenset({"a", "b"})), 1),
    ],
)
async def test_a_filter_returns_only_matching_records(engine, filter_, found):
    await accept(engine, 1, task="echo")
    await accept(engine, 1)
    await accept(engine, 1, tags=("a",))
    await accept(engine, 1, tags=("a", "b"))

    page = await list_page(engine.redis, engine.store, None, filter_, size=9)

    assert len(page.items) == found


async def test_a_search_is_bounded_and_can_be_continued(engine, empty_redis):
    empty_redis.zadd("celeryql:tasks", {f"id{n}": n for n in range(2_500)})
    for n in range(2_500):
        empty_redis.hset(f"celeryql:task:id{n}", mapping=RECORD)

    rare = RecordFilter(tags=frozenset({"rare"}))
    empty_redis.hset("celeryql:task:id0", "tags", '["rare"]')

    first = await list_page(engine.redis, engine.store, None, rare, size=1)
    second = await list_page(engine.redis, engine.store, None, rare, size=1, beyond=first.resume)

    assert (first.items, first.has_more) == ([], True)
    assert [record.id for _, record in second.items] == ["id0"]


async def test_a_creation_time_limits_which_records_are_read(engine, empty_redis):
    start_ms = 1_700_000_000_000
    with empty_redis.pipeline() as pipe:
        for n in range(4_000):
            created_at = start_ms + n * 1_000
            pipe.zadd("celeryql:tasks", {f"id{n}": created_at * 1_000})
            pipe.hset(f"celeryql:task:id{n}", mapping=RECORD | {"created_at": created_at})
        pipe.execute()
    begin = datetime.fromtimestamp(start_ms / 1_000, UTC)
    between = RecordFilter(
        created_after=begin + timedelta(seconds=9), created_before=begin + timedelta(seconds=14)
    )

    pages = [
        await list_page(
            engine.redis, engine.store, None, between, size=3, towards_newer=towards_newer
        )
        for towards_newer in (False, True)
    ]
    rest = await list_page(
        engine.redis, engine.store, None, between, size=3, beyond=pages[0].resume
    )

    assert [[record.id for _, record in page.items] for page in (*pages, rest)] == [
        ["id13", "id12", "id11"], ["id12", "id11", "id10"], ["id10"],
    ]  # fmt: skip
    assert [page.has_more for page in (*pages, rest)] == [True, True, False]


async def test_tasks_accepted_together_match_their_creation_time(engine, empty_redis):
    """Their scores are up to a millisecond later than their creation time."""
    created_at = 1_700_000_000_000
    for n in range(1_500):
        empty_redis.zadd("celeryql:tasks", {f"id{n}": created_at * 1_000 + 900 + n})
        empty_redis.hset(f"celeryql:task:id{n}", mapping=RECORD | {"created_at": created_at})
    before = RecordFilter(created_before=datetime.fromtimestamp(created_at / 1_000 + 0.001, UTC))

    page = await list_page(engine.redis, engine.store, None, before, size=1)

    assert [record.id for _, record in page.items] == ["id1499"]


async def test_ids_are_read_directly_and_in_listing_order(engine, empty_redis):
    ids = await accept(engine, 5)
    wanted = RecordFilter(ids=frozenset({ids[3], ids[0], "never", "\ud800"}))
    before = empty_redis.info("commandstats")

    page = await list_page(engine.redis, engine.store, None, wanted, size=9)

    after = empty_redis.info("commandstats")
    assert [record.id for _, record in page.items] == [ids[3], ids[0]]
    assert after["cmdstat_hgetall"]["calls"] == before["cmdstat_hgetall"]["calls"] + 2


async def test_ids_are_paged_and_filtered_too(engine):
    ids = await accept(engine, 3, tags=("a",)) + await accept(engine, 1)
    wanted = RecordFilter(ids=frozenset(ids), tags=frozenset({"a"}))

    first = await list_page(engine.redis, engine.store, None, wanted, size=2)
    second = await list_page(engine.redis, engine.store, None, wanted, size=2, beyond=first.resume)
    oldest = await list_page(engine.redis, engine.store, None, wanted, size=2, towards_newer=True)

    assert [r.id for _, r in first.items] == [ids[2], ids[1]]
    assert ([r.id for _, r in second.items], second.has_more) == ([ids[0]], False)
    assert [r.id for _, r in oldest.items] == [ids[1], ids[0]]


async def test_ids_of_another_owner_are_not_found(engine):
    (of_bob,) = await accept(engine, 1, "bob")

    page = await list_page(
        engine.redis, engine.store, "ann", RecordFilter(ids=frozenset({of_bob})), size=9
    )

    assert page.items == []


async def test_steps_can_be_left_out(engine, empty_redis):
    whole, step = await accept(engine, 2)
    empty_redis.hset(f"celeryql:task:{step}", "root", whole)

    page = await list_page(
        engine.redis, engine.store, None, RecordFilter(top_level_only=True), size=9
    )

    assert [record.id for _, record in page.items] == [whole]


async def test_a_record_that_cannot_be_read_is_left_out(engine, empty_redis, caplog):
    kept, broken = await accept(engine, 2)
    empty_redis.hset(f"celeryql:task:{broken}", "created_at", "yesterday")

    page = await list_page(engine.redis, engine.store, None, RecordFilter(), size=9)

    assert [record.id for _, record in page.items] == [kept]
    assert f"Record {broken} cannot be read" in caplog.text


async def test_an_expired_task_leaves_the_listing(engine, empty_redis):
    ids = await accept(engine, 20)
    for task_id in ids:
        empty_redis.delete(f"celeryql:task:{task_id}")

    assert (await list_page(engine.redis, engine.store, None, RecordFilter(), size=1)).items == []
    await accept(engine, 40)
    assert empty_redis.zcard("celeryql:tasks") < 60


def test_a_position_is_parsed_from_its_text():
    assert ListingPosition.parse(str(ListingPosition(12, "an:id"))) == ListingPosition(12, "an:id")


RECORD = {"state": "QUEUED", "root": "r", "cursor": "1-0", "created_at": "1700000000000"}

"""Pages of tasks: complete, in order, and bounded."""

from __future__ import annotations

import pytest

from tasks.engine.accept import Options
from tasks.engine.listing import Filter, Place, list_page


async def accept(engine, n: int, owner: str = "ann", task: str = "add", **options) -> list[str]:
    definition = engine.definitions[task]
    given = {"message": "m"} if task == "echo" else {"x": 1, "y": 2}
    arguments = definition.arguments(**given)
    return [
        (await engine.submitter.enqueue(definition, arguments, Options(**options), owner)).record.id
        for _ in range(n)
    ]


async def walk(engine, size: int, *, towards_newer: bool = False) -> list[list[str]]:
    pages, beyond = [], None
    while True:
        page = await list_page(
            engine.redis, None, Filter(), size=size, beyond=beyond, towards_newer=towards_newer
        )
        pages.append([record.id for _, record in page.items])
        if not page.has_more:
            return pages
        beyond = page.resume


async def test_pages_go_from_the_newest_to_the_oldest(engine):
    ids = await accept(engine, 5)

    assert await walk(engine, 2) == [ids[:2:-1], ids[2:0:-1], ids[:1]]


async def test_pages_go_from_the_oldest_too(engine):
    ids = await accept(engine, 5)

    assert await walk(engine, 2, towards_newer=True) == [ids[1::-1], ids[3:1:-1], ids[4:]]


async def test_paging_is_not_disturbed_by_new_tasks(engine):
    ids = await accept(engine, 4)
    first = await list_page(engine.redis, None, Filter(), size=2)
    await accept(engine, 3)

    second = await list_page(engine.redis, None, Filter(), size=2, beyond=first.items[-1][0])

    assert [record.id for _, record in second.items] == ids[1::-1]


async def test_an_owner_sees_only_its_own(engine):
    (of_ann,) = await accept(engine, 1, "ann")
    await accept(engine, 1, "bob")

    page = await list_page(engine.redis, "ann", Filter(), size=9)

    assert [record.id for _, record in page.items] == [of_ann]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        (Filter(), 4),
        (Filter(definitions=frozenset({"echo"})), 1),
        (Filter(states=frozenset({"QUEUED"})), 4),
        (Filter(states=frozenset({"FAILED"})), 0),
        (Filter(queues=frozenset({"ml_service"})), 0),
        (Filter(tags=frozenset({"a"})), 2),
        (Filter(tags=frozenset({"a", "b"})), 1),
    ],
)
async def test_a_filter_leaves_out_what_does_not_match(engine, filter_, found):
    await accept(engine, 1, task="echo")
    await accept(engine, 1)
    await accept(engine, 1, tags=("a",))
    await accept(engine, 1, tags=("a", "b"))

    page = await list_page(engine.redis, None, filter_, size=9)

    assert len(page.items) == found


async def test_a_search_is_bounded_and_can_be_gone_on_with(engine, empty_redis):
    empty_redis.zadd("celeryql:tasks", {f"id{n}": n for n in range(2_500)})
    for n in range(2_500):
        empty_redis.hset(f"celeryql:task:id{n}", mapping=RECORD)

    rare = Filter(tags=frozenset({"rare"}))
    empty_redis.hset("celeryql:task:id0", "tags", '["rare"]')

    first = await list_page(engine.redis, None, rare, size=1)
    second = await list_page(engine.redis, None, rare, size=1, beyond=first.resume)

    assert (first.items, first.has_more) == ([], True)
    assert [record.id for _, record in second.items] == ["id0"]


async def test_a_task_past_retention_leaves_the_listing(engine, empty_redis):
    ids = await accept(engine, 20)
    for task_id in ids:
        empty_redis.delete(f"celeryql:task:{task_id}")

    assert (await list_page(engine.redis, None, Filter(), size=1)).items == []
    await accept(engine, 40)
    assert empty_redis.zcard("celeryql:tasks") < 60


def test_a_place_is_written_and_read():
    assert Place.parse(str(Place(12, "an:id"))) == Place(12, "an:id")


RECORD = {"state": "QUEUED", "root": "r", "cursor": "1-0", "created_at": "1700000000000"}

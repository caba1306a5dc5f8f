"""Which tasks a filter matches."""

from __future__ import annotations

import pytest

from tests.graphql_api.conftest import PAGE


async def test_a_filter_finds_tasks_by_state(api, empty_redis):
    _, running, failed = await api.add(3)
    empty_redis.hset(f"celeryql:task:{running}", "state", "RUNNING")
    empty_redis.hset(f"celeryql:task:{failed}", "state", "FAILED")

    ids, _ = await api.page(filter={"states": ["FAILED", "RUNNING"]})

    assert ids == [running, failed]


async def test_a_filter_finds_tasks_by_definition_and_queue(api):
    (added,) = await api.add(1)
    data = await api.execute(
        'mutation { enqueueDetectSpam(input: {message: "Hi"})'
        " { ... on EnqueueDetectSpamSuccess { task { id } } } }"
    )
    spam = data["enqueueDetectSpam"]["task"]["id"]

    assert (await api.page(filter={"definitions": ["add", "mul"]}))[0] == [added]
    assert (await api.page(filter={"queues": ["ml_service"]}))[0] == [spam]
    assert (await api.page(filter={"definitions": ["add"], "queues": ["ml_service"]}))[0] == []


async def test_a_filter_by_tags_requires_all_of_them(api):
    (both,) = await api.add(tags=["night", "report"])
    (one,) = await api.add(tags=["night"])
    await api.add()

    assert (await api.page(filter={"tags": ["night"]}))[0] == [one, both]
    assert (await api.page(filter={"tags": ["report", "night"]}))[0] == [both]


async def test_a_filter_finds_tasks_by_id(api):
    first, second, _ = await api.add(3)

    assert (await api.page(filter={"ids": [second, first, "never"]}))[0] == [first, second]


async def test_a_filter_leaves_steps_out(api):
    canvas = "{chain: [{step: {task: {add: {x: 4, y: 5}}}}, {step: {task: {mul: {y: 7}}}}]}"
    await api.execute(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}}) {{ __typename }} }}"
    )

    data = await api.execute("{ tasks(filter: {topLevelOnly: true}) { nodes { __typename } } }")

    assert data["tasks"]["nodes"] == [{"__typename": "Workflow"}]


async def test_a_filter_finds_tasks_by_creation_time(api, empty_redis):
    late, middle, early = await api.add(3)
    for task_id, second in ((late, 30), (middle, 20), (early, 10)):
        created_at = 1_700_000_000_000 + second * 1_000
        empty_redis.hset(f"celeryql:task:{task_id}", "created_at", created_at)
        empty_redis.zadd("celeryql:tasks", {task_id: created_at * 1_000})
    data = await api.execute("{ tasks { nodes { createdAt } } }")
    times = [node["createdAt"] for node in data["tasks"]["nodes"]]

    assert (await api.page(filter={"createdAfter": times[2]}))[0] == [late, middle]
    assert (await api.page(filter={"createdBefore": times[0]}))[0] == [middle, early]
    between = {"createdAfter": times[2], "createdBefore": times[0]}
    assert (await api.page(filter=between))[0] == [middle]
    without_offset = {"createdAfter": times[1].removesuffix("+00:00")}
    assert (await api.page(filter=without_offset))[0] == [late]


@pytest.mark.parametrize("name", ["ids", "definitions", "queues", "tags"])
async def test_a_list_of_a_filter_may_have_a_hundred_entries(api, name):
    await api.page(filter={name: ["x"] * 100})

    answer = await api.answer(PAGE, filter={name: ["x"] * 101})

    (error,) = answer["errors"]
    assert error["message"] == f"`{name}` of a filter has at most 100 entries, not 101"
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ({"ids": []}, 0),
        ({"states": []}, 0),
        ({"definitions": []}, 0),
        ({"queues": []}, 0),
        ({"tags": []}, 1),
        ({"ids": None, "states": None, "tags": None}, 1),
        ({"ids": [], "tags": []}, 0),
        ({"createdAfter": "2020-01-01T00:00:00Z", "createdBefore": "2019-01-01T00:00:00Z"}, 0),
    ],
)
async def test_a_filter_that_matches_no_task_gives_one_empty_page(api, filter_, found):
    await api.add()

    ids, info = await api.page(filter=filter_)

    assert (len(ids), info["hasNextPage"]) == (found, False)


async def test_a_repeated_id_finds_one_task(api):
    (added,) = await api.add()

    assert (await api.page(filter={"ids": [added, added]}))[0] == [added]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_filter_takes_any_time(api, moment):
    await api.add()

    await api.page(filter={"createdAfter": moment})
    await api.page(filter={"createdBefore": moment}, last=1)


async def test_every_page_is_filtered(api):
    wanted = []
    for _ in range(5):
        wanted += await api.add(tags=["night"])
        await api.add(3)
    wanted.reverse()

    ids, info = await api.page(first=3, filter={"tags": ["night"]})
    others, others_info = await api.page(
        first=3, filter={"tags": ["night"]}, after=info["endCursor"]
    )

    assert (ids, others) == (wanted[:3], wanted[3:])
    assert (info["hasNextPage"], others_info["hasNextPage"]) == (True, False)

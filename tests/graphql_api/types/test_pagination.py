"""Pages of task lists, and which pagination arguments are refused."""

from __future__ import annotations

import pytest

from tests.graphql_api.conftest import PAGE


async def test_without_tasks_the_page_is_empty(api):
    ids, info = await api.page()

    assert ids == []
    assert info == {
        "hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None,
    }  # fmt: skip


async def test_tasks_come_newest_first_twenty_at_a_time(api):
    added = await api.add(25)

    ids, info = await api.page()

    assert ids == added[:20]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)


async def test_the_steps_of_a_workflow_are_listed_too(api):
    canvas = "{chain: [{step: {task: {add: {x: 4, y: 5}}}}, {step: {task: {mul: {y: 7}}}}]}"
    await api.execute(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}}) {{ __typename }} }}"
    )

    data = await api.execute("{ tasks { nodes { __typename stepKey state } } }")

    assert data["tasks"]["nodes"] == [
        {"__typename": "MulTask", "stepKey": "1", "state": "WAITING"},
        {"__typename": "AddTask", "stepKey": "0", "state": "QUEUED"},
        {"__typename": "Workflow", "stepKey": None, "state": "QUEUED"},
    ]


async def test_paging_forwards_gives_each_task_once_while_new_ones_arrive(api):
    added = await api.add(9)
    seen, after, has_more = [], None, True

    while has_more:
        ids, info = await api.page(first=4, after=after)
        seen += ids
        after, has_more = info["endCursor"], info["hasNextPage"]
        await api.add(2)

    assert seen == added


async def test_paging_backwards_gives_each_task_once_and_pages_newest_first(api):
    added = await api.add(9)

    oldest, info = await api.page(last=4)
    middle, middle_info = await api.page(last=4, before=info["startCursor"])
    newest, newest_info = await api.page(last=4, before=middle_info["startCursor"])

    assert [oldest, middle, newest] == [added[5:], added[1:5], added[:1]]
    assert [i["hasPreviousPage"] for i in (info, middle_info, newest_info)] == [True, True, False]
    assert [i["hasNextPage"] for i in (info, middle_info, newest_info)] == [False, True, True]


async def test_a_full_last_page_has_no_next_page(api):
    added = await api.add(4)

    _, info = await api.page(first=2)
    ids, last_info = await api.page(first=2, after=info["endCursor"])

    assert ids == added[2:]
    assert (last_info["hasNextPage"], last_info["hasPreviousPage"]) == (False, True)


async def test_a_task_whose_record_has_expired_is_left_out(api, empty_redis):
    kept, gone, older = await api.add(3)
    empty_redis.delete(f"celeryql:task:{gone}")

    ids, _ = await api.page(first=2)

    assert ids == [kept, older]


USE = "use the `cursor` of an edge, or `startCursor` or `endCursor` of `pageInfo`"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": 0}, "A page has 1 to 100 tasks, not 0"),
        ({"first": 101}, "A page has 1 to 100 tasks, not 101"),
        ({"last": -1}, "A page has 1 to 100 tasks, not -1"),
        ({"first": 5, "last": 5}, "Give `first` and `after`, or `last` and `before`"),
        ({"first": 5, "before": "1:a"}, "Give `first` and `after`, or `last` and `before`"),
        ({"after": "yesterday"}, f"'yesterday' is not a page cursor: {USE}"),
        ({"before": ""}, f"'' is not a page cursor: {USE}"),
        ({"after": "1700000000000-0"}, f"'1700000000000-0' is not a page cursor: {USE}"),
        ({"after": " 1_0 :a"}, f"' 1_0 :a' is not a page cursor: {USE}"),
        ({"after": "-1:a"}, f"'-1:a' is not a page cursor: {USE}"),
        ({"after": "1:"}, f"'1:' is not a page cursor: {USE}"),
    ],
)
async def test_invalid_pagination_arguments_are_refused(api, arguments, message):
    answer = await api.answer(PAGE, **arguments)

    (error,) = answer["errors"]
    assert (error["message"], error["extensions"]) == (message, {"code": "BAD_USER_INPUT"})


async def test_a_page_may_hold_a_hundred(api):
    added = await api.add(101)

    assert (await api.page(first=100))[0] == added[:100]


async def test_a_workflow_of_another_release_does_not_break_its_page(api, empty_redis):
    canvas = "{chain: [{step: {task: {add: {x: 4, y: 5}}}}, {step: {task: {mul: {y: 7}}}}]}"
    enqueue = f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}}) {{ __typename }} }}"
    await api.execute(enqueue)
    await api.execute(enqueue)
    ids, _ = await api.page(filter={"definitions": ["workflow"]})
    # As before steps had joins: one list of the steps and what each depends on.
    empty_redis.delete(f"celeryql:workflow:{ids[0]}")
    empty_redis.hset(f"celeryql:workflow:{ids[0]}", mapping={"graph": "[]", "total": 2})

    answer = await api.answer(
        '{ tasks(filter: {definitions: ["workflow"]}) {'
        " nodes { id state ... on Workflow { steps { key } } } } }"
    )

    (error,) = answer["errors"]
    assert error["path"] == ["tasks", "nodes", 0, "steps"]
    assert error["extensions"]["code"] == "STORED_BY_ANOTHER_RELEASE"
    assert answer["data"]["tasks"]["nodes"] == [
        {"id": ids[0], "state": "QUEUED", "steps": None},
        {"id": ids[1], "state": "QUEUED", "steps": [{"key": "0"}, {"key": "1"}]},
    ]

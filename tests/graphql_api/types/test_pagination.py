"""Pages of task lists, their filters, and nodes by id."""

from __future__ import annotations

import json

import pytest
from httpx import ASGITransport, AsyncClient

from celeryql.settings import Settings
from graphql_api.app import create_app

PAGE = """
query Page($filter: TaskFilter, $first: Int, $after: String, $last: Int, $before: String) {
  tasks(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { id } } nodes { id }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
NODE = """
query Node($id: ID!) { node(id: $id) {
  __typename id
  ... on Queue { queue: name definitions { name } } ... on TaskDefinition { definition: name field }
  ... on Worker { worker: name } ... on AddTask { state }
} }
"""


class Api:
    """The API in this process, over a Redis of its own."""

    def __init__(self, http):
        self._http = http

    async def answer(self, operation, **variables):
        # Escaped as in ASCII, for the sake of what is no text.
        body = json.dumps({"query": operation, "variables": variables})
        headers = {"content-type": "application/json"}
        return (await self._http.post("/graphql", content=body, headers=headers)).json()

    async def execute(self, operation, **variables):
        answer = await self.answer(operation, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def add(self, count=1, tags=()):
        """Enqueue sums, and give their ids, newest first."""
        operation = (
            "mutation($tags: [String!]) { enqueueAdd(input: {x: 1, y: 2}, options: {tags: $tags})"
            " { ... on EnqueueAddSuccess { task { id } } } }"
        )
        answers = [await self.execute(operation, tags=list(tags)) for _ in range(count)]
        return [answer["enqueueAdd"]["task"]["id"] for answer in reversed(answers)]

    async def page(self, **arguments):
        """Read one page: its ids, and where it begins and ends."""
        tasks = (await self.execute(PAGE, **arguments))["tasks"]
        assert [edge["node"] for edge in tasks["edges"]] == tasks["nodes"]
        return [node["id"] for node in tasks["nodes"]], tasks["pageInfo"]


@pytest.fixture
async def api(empty_redis, redis_url):
    application = create_app(Settings(redis_url=redis_url.removesuffix("0") + "1"))
    transport = ASGITransport(application)
    async with (
        application.router.lifespan_context(application),
        AsyncClient(transport=transport, base_url="http://api") as http,
    ):
        yield Api(http)


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


async def test_a_task_that_has_passed_retention_is_left_out(api, empty_redis):
    kept, gone, older = await api.add(3)
    empty_redis.delete(f"celeryql:task:{gone}")

    ids, _ = await api.page(first=2)

    assert ids == [kept, older]


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


async def test_a_task_is_a_node(api):
    (added,) = await api.add()

    assert (await api.execute(NODE, id=added))["node"] == {
        "__typename": "AddTask", "id": added, "state": "QUEUED",
    }  # fmt: skip


async def test_queues_and_definitions_are_nodes(api):
    assert (await api.execute(NODE, id="queue:email_service"))["node"] == {
        "__typename": "Queue", "id": "queue:email_service", "queue": "email_service",
        "definitions": [{"name": "send_email"}],
    }  # fmt: skip
    assert (await api.execute(NODE, id="definition:detect_spam"))["node"] == {
        "__typename": "TaskDefinition", "id": "definition:detect_spam",
        "definition": "detect_spam", "field": "enqueueDetectSpam",
    }  # fmt: skip


@pytest.mark.parametrize(
    "id_", ["", "nope", "queue:nope", "definition:nope", "worker:nope", "worker:", "zoo:ape"]
)
async def test_a_node_that_does_not_exist_is_null(api, id_):
    assert await api.execute(NODE, id=id_) == {"node": None}


@pytest.mark.parametrize("id_", ["\ud800", "queue:\ud800", "worker:\ud800", "definition:\ud800"])
async def test_an_id_that_is_not_valid_text_is_null(api, id_):
    assert await api.execute(NODE, id=id_) == {"node": None}
    assert await api.execute("query($id: ID!) { task(id: $id) { id } }", id=id_) == {"task": None}


@pytest.mark.slow
async def test_a_worker_is_a_node(client, start_worker):
    start_worker("celery")
    data = await client.execute("{ workers { id name } }")
    (worker,) = [w for w in data["workers"] if w["name"].startswith("celery@")]

    node = (await client.execute(NODE, id=worker["id"]))["node"]

    assert worker["id"] == f"worker:{worker['name']}"
    assert node == {"__typename": "Worker", "id": worker["id"], "worker": worker["name"]}


async def test_a_workflow_of_another_release_is_not_retried(api, empty_redis):
    canvas = "{chain: [{step: {task: {add: {x: 4, y: 5}}}}, {step: {task: {mul: {y: 7}}}}]}"
    await api.execute(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}}) {{ __typename }} }}"
    )
    (id_,), _ = await api.page(filter={"definitions": ["workflow"]})
    await api.execute(f'mutation {{ cancelTask(id: "{id_}") {{ __typename }} }}')
    empty_redis.delete(f"celeryql:workflow:{id_}")
    empty_redis.hset(f"celeryql:workflow:{id_}", mapping={"graph": "[]", "total": 2})

    data = await api.execute(
        f'mutation {{ retryTask(id: "{id_}") {{ __typename ... on Error {{ message }} }} }}'
    )

    assert data["retryTask"]["__typename"] == "InvalidInput"
    assert "Another release stored the steps" in data["retryTask"]["message"]


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

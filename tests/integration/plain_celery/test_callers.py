"""Plain Celery callers and canvases work, and GraphQL shows their tasks."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


async def test_a_chain_returns_105_and_graphql_shows_its_tasks(kitchen):
    value, ids = kitchen.python(
        "result = chain(add.s(4, 5), add.s(6), mul.s(7))()\n"
        "answer = result.get(timeout=10), [result.parent.parent.id, result.parent.id, result.id]"
    )

    tasks = [await kitchen.task(task_id) for task_id in ids]

    assert value == 105
    assert [task["state"] for task in tasks] == ["SUCCEEDED"] * 3
    assert [task["result"] for task in tasks] == [9, 15, 105]
    assert tasks[1]["sum"] == {"x": 9, "y": 6}
    assert tasks[2]["product"] == {"x": 15, "y": 7}
    assert {task["queue"]["name"] for task in tasks} == {"celery"}
    assert all(task["worker"].startswith("celery@") for task in tasks)
    assert tasks[0]["createdAt"] <= tasks[0]["startedAt"] <= tasks[0]["finishedAt"]


def test_getting_the_result_of_a_task_that_exits_does_not_exit(kitchen):
    answer = kitchen.python(
        "try:\n    give_up.delay('cannot go on').get(timeout=10)\n"
        "except Exception as error:\n    answer = type(error).__name__, str(error)"
    )

    assert answer == ["SystemExit", "cannot go on"]


async def test_tasks_of_plain_callers_are_listed_newest_first(kitchen):
    ids = kitchen.python(
        "answer = []\n"
        "for i in range(3):\n"
        "    result = mul.delay(i, 1); result.get(timeout=10); answer.append(result.id)"
    )

    data = await kitchen.client.execute(
        '{ tasks(first: 3, filter: {definitions: ["mul"]}) { nodes { id state } } }'
    )

    assert [node["id"] for node in data["tasks"]["nodes"]] == ids[::-1]


def test_a_saved_group_is_restored_by_another_process(kitchen):
    group_id = kitchen.python(
        "result = group(add.s(i, i) for i in range(3))()\nresult.save()\nanswer = result.id"
    )

    with kitchen.elsewhere() as other:
        values = other.python(f"answer = GroupResult.restore('{group_id}').get(timeout=10)")

    assert values == [0, 2, 4]
    assert kitchen.redis.exists(f"celery-taskset-meta-{group_id}")


async def test_a_chord_gets_the_results_of_its_header(kitchen):
    value, body = kitchen.python(
        "result = chord([add.s(i, 1) for i in range(4)])(total.s())\n"
        "answer = result.get(timeout=10), result.id"
    )

    assert value == 10
    assert (await kitchen.task(body))["definition"]["name"] == "total"


def test_a_countdown_delays_a_task(kitchen):
    waited, value = kitchen.python(
        "import time\nbegan = time.monotonic()\n"
        "value = add.apply_async((1, 2), countdown=1).get(timeout=10)\n"
        "answer = time.monotonic() - began, value"
    )

    assert value == 3
    assert waited >= 1


def test_a_sensitive_argument_is_stored_nowhere_after_the_end(kitchen):
    kitchen.python("answer = log_in.delay('ann', 'correct-horse').get(timeout=10)")

    texts = [
        str(kitchen.redis.hgetall(key) if kind == "hash" else kitchen.redis.get(key))
        for key in kitchen.redis.scan_iter()
        if (kind := kitchen.redis.type(key)) in ("hash", "string")
    ]
    events = str(kitchen.redis.xrange("celeryql:events"))
    assert [text for text in (*texts, events) if "correct-horse" in text] == []

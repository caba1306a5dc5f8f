"""GraphQL shows every state that plain Celery can give a task."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow


async def test_a_task_that_ignores_its_result_has_a_state(kitchen):
    task_id = kitchen.python("answer = forget.delay(1).id")

    assert await kitchen.states(task_id) == ["STARTED", "SUCCESS"]


async def test_a_result_that_one_call_ignores_is_not_stored(kitchen):
    task_id = kitchen.python("answer = add.apply_async((1, 2), ignore_result=True).id")

    assert await kitchen.states(task_id) == ["STARTED", "SUCCESS"]
    assert json.loads(kitchen.redis.get(f"celery-task-meta-{task_id}"))["result"] is None


async def test_a_custom_state_is_shown_by_celery_and_graphql(kitchen):
    task_id, state, info = kitchen.python(
        "result = cook.delay(4)\nwhile result.state in ('PENDING', 'STARTED'): pass\n"
        "answer = result.id, result.state, result.info"
    )

    task = await kitchen.task(task_id)

    assert (state, info) == ("COOKING", {"pan": 1})
    assert (task["state"], task["celeryState"]) == ("RUNNING", "COOKING")


async def test_a_running_task_of_a_plain_caller_can_be_watched(kitchen):
    task_id = kitchen.python(
        "result = cook.delay(2.5)\nwhile result.state != 'COOKING': pass\nanswer = result.id"
    )

    assert await kitchen.states(task_id, after=None) == ["COOKING", "SUCCESS"]


async def test_each_attempt_of_a_retried_task_is_shown(kitchen):
    task_id = kitchen.python("answer = insist.delay(2).id")

    states = await kitchen.states(task_id)
    task = await kitchen.task(task_id)

    assert states == ["STARTED", "RETRY", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert (task["state"], task["attempt"], task["failure"]) == ("SUCCEEDED", 3, None)


async def test_a_failure_is_shown_with_its_reason(kitchen):
    task_id = kitchen.python(
        "result = add.delay('a lot', 1)\nresult.get(timeout=10, propagate=False)\n"
        "answer = result.id"
    )

    task = await kitchen.task(task_id)

    assert (task["state"], task["celeryState"]) == ("FAILED", "FAILURE")
    assert task["failure"]["type"] == "InvalidArguments"
    assert task["failure"]["message"].startswith("add: x: Input should be a valid number")


async def test_a_task_that_is_revoked_in_its_queue_is_canceled(kitchen):
    busy, task_id = kitchen.python(
        "busy = [wait.delay(1.5) for _ in range(4)]\nresult = add.delay(1, 2)\nresult.revoke()\n"
        "answer = [b.id for b in busy], result.id"
    )
    for other in (*busy, task_id):
        await kitchen.states(other)

    task = await kitchen.task(task_id)

    assert (task["state"], task["celeryState"]) == ("CANCELED", "REVOKED")
    assert (task["startedAt"], task["attempt"]) == (None, 0)


async def test_a_running_task_that_is_terminated_is_canceled(kitchen):
    task_id = kitchen.python(
        "result = wait.delay(60)\nwhile result.state == 'PENDING': pass\n"
        "result.revoke(terminate=True)\nanswer = result.id"
    )

    states = await kitchen.states(task_id)

    assert states[-1] == "REVOKED"
    assert (await kitchen.task(task_id))["state"] == "CANCELED"


async def test_a_task_that_expires_in_its_queue_is_expired(kitchen):
    task_id = kitchen.python("answer = add.apply_async((1, 2), expires=-1).id")
    await kitchen.states(task_id)

    task = await kitchen.task(task_id)

    assert (task["state"], task["celeryState"], task["attempt"]) == ("EXPIRED", "REVOKED", 0)

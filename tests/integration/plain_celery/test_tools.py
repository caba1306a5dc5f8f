"""Celery's own command line works beside GraphQL."""

from __future__ import annotations

import json

import pytest
from celery import Celery

pytestmark = pytest.mark.slow


def test_celerys_command_line_shows_the_worker_and_its_tasks(kitchen):
    task_id = kitchen.python(
        "result = wait.delay(60)\nwhile result.state == 'PENDING': pass\nanswer = result.id"
    )

    (node, ping), *_ = json.loads(kitchen.celery("inspect", "ping", "--json")).items()
    (active,) = json.loads(kitchen.celery("inspect", "active", "--json")).values()
    (registered,) = json.loads(kitchen.celery("inspect", "registered", "--json")).values()
    kitchen.python(f"answer = app.control.revoke('{task_id}', terminate=True)")

    assert node.startswith("celery@")
    assert ping == {"ok": "pong"}
    assert [(task["id"], task["name"]) for task in active] == [(task_id, "tasks.general.wait")]
    assert {"tasks.arithmetic.add", "tasks.kitchen.cook"} <= set(registered)


def test_a_client_without_the_code_of_the_project_can_call_its_tasks(kitchen):
    url = kitchen.environment["REDIS_URL"]
    with Celery(broker=url, backend=url, set_as_current=False) as stock:
        pongs = [pong for node in stock.control.ping(timeout=2) for pong in node.values()]
        given = {f"p{n}": {"priority": n} for n in range(10)} | {"none": {}}
        for task_id, options in given.items():
            stock.send_task("tasks.arithmetic.add", (1, 2), task_id=task_id, **options)
        results = [stock.AsyncResult(task_id).get(timeout=20) for task_id in given]

    assert {"ok": "pong"} in pongs
    assert results == [3.0] * 11


async def test_celerys_command_line_enqueues_and_reads(kitchen):
    task_id = kitchen.celery("call", "tasks.arithmetic.add", "--args=[4, 5]").strip()
    await kitchen.states(task_id)

    assert kitchen.celery("result", task_id).strip() == "9.0"
    assert (await kitchen.task(task_id))["result"] == 9


async def test_a_task_that_no_worker_knows_fails_with_a_reason(kitchen):
    task_id = kitchen.celery("call", "tasks.kitchen.burn").strip()
    await kitchen.states(task_id)

    task = await kitchen.task(task_id)

    assert (task["__typename"], task["state"]) == ("UndefinedTask", "FAILED")
    assert task["failure"] == {"type": "NotRegistered", "message": "tasks.kitchen.burn"}

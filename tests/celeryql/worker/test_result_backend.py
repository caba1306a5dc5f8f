"""Each state that Celery stores also updates the record, its events and its workflow."""

from __future__ import annotations

import json

import pytest
from celery.app.task import Context
from celery.exceptions import TaskRevokedError
from kombu.exceptions import EncodeError

from celeryql.broker.captured_messages import CAPTURING_CONNECTION, start_capture
from celeryql.definition.options import EnqueueOptions
from celeryql.worker.result_backend import Attempt
from celeryql.workflow.canvas import ChainNode, GroupNode, StepNode
from celeryql.workflow.planner import plan
from tasks.arithmetic import add, mul


async def accept(engine) -> str:
    definition = engine.definitions["add"]
    arguments = definition.arguments(x=1, y=2)
    return (
        await engine.submitter.enqueue(definition, arguments, EnqueueOptions(), "ann")
    ).record.id


@pytest.fixture
async def chain(engine):
    """Enqueue the workflow add -> add -> mul."""
    a, m = engine.definitions["add"], engine.definitions["mul"]
    nodes = (
        StepNode("a", a, {"x": 4, "y": 5}, ()),
        StepNode("b", a, {"x": 6}, ()),
        StepNode("c", m, {"y": 7}, ()),
    )
    workflow = plan("sum", ChainNode(nodes), max_steps=9)
    await engine.submitter.enqueue_workflow(workflow, EnqueueOptions(), "ann")
    return workflow


async def test_each_state_of_a_run_is_an_event_with_the_next_version(engine, report, empty_redis):
    task_id = await accept(engine)

    assert report(add, task_id, "STARTED")
    report(add, task_id, "PROGRESS", {"current": 1, "total": 2, "message": "half"})
    report(add, task_id, "SUCCESS", 3.0)

    events = (await engine.store.read_history(await engine.store.get(task_id))).events
    assert [(e.kind, e.state, e.celery_state, e.version) for e in events] == [
        ("STATE", "QUEUED", "PENDING", 1),
        ("STATE", "RUNNING", "STARTED", 2),
        ("PROGRESS", "RUNNING", "PROGRESS", 3),
        ("STATE", "SUCCEEDED", "SUCCESS", 4),
    ]
    assert events[2].progress.current == 1
    record = await engine.store.get(task_id)
    assert (record.state, record.worker, record.attempt) == ("SUCCEEDED", "w@host", 1)
    assert record.created_at <= record.started_at <= record.finished_at
    meta = json.loads(empty_redis.get(f"celery-task-meta-{task_id}"))
    assert (meta["status"], meta["result"]) == ("SUCCESS", 3.0)


async def test_a_failure_is_stored_with_its_type_and_message(engine, report):
    task_id = await accept(engine)

    report(add, task_id, "STARTED")
    report(add, task_id, "FAILURE", ValueError("no such thing"))

    failure = (await engine.store.get(task_id)).failure
    assert (failure.type, failure.message) == ("ValueError", "no such thing")
    assert not failure.retryable


@pytest.mark.parametrize(
    "meta",
    [
        {"current": float("nan"), "total": 10},
        {"current": 1, "total": float("inf")},
        {"current": 1, "total": 2, "message": "a\udc80"},
    ],
)
async def test_progress_that_json_cannot_represent_is_only_a_custom_state(engine, report, meta):
    task_id = await accept(engine)

    report(add, task_id, "STARTED")
    report(add, task_id, "PROGRESS", meta)

    record = await engine.store.get(task_id)
    assert (record.celery_state, record.progress) == ("PROGRESS", None)


async def test_an_unreadable_record_does_not_hide_the_others(engine, empty_redis):
    broken, whole = await accept(engine), await accept(engine)
    empty_redis.hset(f"celeryql:task:{broken}", "created_at", "when?")

    assert [record and record.id for record in await engine.store.get_many([broken, whole])] == [
        None, whole,
    ]  # fmt: skip


async def test_states_of_an_outdated_run_are_ignored_except_its_success(engine, report, backend):
    task_id = await accept(engine)
    report(add, task_id, "STARTED")
    backend.leases.end("w@host", [task_id])  # its worker was considered dead
    report(add, task_id, "STARTED")

    late = Attempt(number=1, max_attempts=4)
    report(add, task_id, "PROGRESS", {"current": 1}, attempt=late)
    report(add, task_id, "FAILURE", ValueError("late"), attempt=late)
    record = await engine.store.get(task_id)
    assert (record.state, record.attempt, record.progress) == ("RUNNING", 2, None)

    report(add, task_id, "SUCCESS", 3.0, attempt=late)  # a success always counts
    assert (await engine.store.get(task_id)).state == "SUCCEEDED"


async def test_a_failure_that_another_worker_reports_is_ignored(engine, report):
    task_id = await accept(engine)
    report(add, task_id, "STARTED", hostname="x@host")

    report(add, task_id, "FAILURE", ValueError("its process was lost"), hostname="w@host")

    assert (await engine.store.get(task_id)).state == "RUNNING"


@pytest.mark.parametrize("reason", ["expired", "revoked"])
async def test_a_duplicate_that_a_worker_refuses_does_not_end_the_live_run(engine, report, reason):
    task_id = await accept(engine)
    report(add, task_id, "STARTED")

    report(add, task_id, "REVOKED", TaskRevokedError(reason))

    assert (await engine.store.get(task_id)).state == "RUNNING"


async def test_a_postponed_duplicate_does_not_replace_a_scheduled_retry(
    engine, report, backend, empty_redis
):
    task_id = await accept(engine)
    attempt = report(add, task_id, "STARTED")
    (message,) = empty_redis.lrange("celery", 0, -1)
    empty_redis.hset("unacked", f"tag of {task_id}", f'[{message}, "celery", "celery"]')
    start_capture()
    add.apply_async(
        (1, 2), task_id=task_id, retries=1, countdown=60, connection=CAPTURING_CONNECTION
    )
    report(add, task_id, "RETRY", OSError("later"), attempt=attempt)
    (before,) = empty_redis.hvals("celeryql:scheduled_messages")

    copy = Context({"id": task_id, "properties": {"delivery_tag": f"tag of {task_id}"}})
    backend.leases.postpone(copy, 1)

    assert empty_redis.hvals("celeryql:scheduled_messages") == [before]


async def test_a_long_failure_message_is_truncated(engine, report):
    task_id = await accept(engine)

    report(add, task_id, "STARTED")
    report(add, task_id, "FAILURE", ValueError("x" * 20_000))

    assert (await engine.store.get(task_id)).failure.message == "x" * 10_000


async def test_a_successful_retry_removes_the_failure(engine, report):
    task_id = await accept(engine)

    report(add, task_id, "STARTED")
    report(add, task_id, "RETRY", OSError("later"))
    retrying = await engine.store.get(task_id)
    report(add, task_id, "STARTED", retries=1)
    report(add, task_id, "SUCCESS", 3.0)
    record = await engine.store.get(task_id)

    assert (retrying.state, retrying.failure.retryable) == ("RETRYING", True)
    assert (record.state, record.attempt, record.failure) == ("SUCCEEDED", 2, None)


@pytest.mark.parametrize(("reason", "state"), [("revoked", "CANCELED"), ("expired", "EXPIRED")])
async def test_a_revoked_task_is_canceled_or_expired(engine, report, reason, state):
    task_id = await accept(engine)

    report(add, task_id, "REVOKED", TaskRevokedError(reason))

    assert (await engine.store.get(task_id)).state == state


async def test_a_final_state_never_changes(engine, report):
    task_id = await accept(engine)
    report(add, task_id, "STARTED")
    report(add, task_id, "SUCCESS", 3.0)
    before = await engine.store.get(task_id)

    assert not report(add, task_id, "STARTED")
    report(add, task_id, "FAILURE", ValueError("late"))

    assert await engine.store.get(task_id) == before


async def test_the_keys_of_a_finished_task_expire(engine, report, empty_redis):
    task_id = await accept(engine)
    report(add, task_id, "STARTED")
    report(add, task_id, "SUCCESS", 3.0)

    kept = [f"celeryql:{kind}:{task_id}" for kind in ("task", "input", "events")]
    week_s = 7 * 24 * 3600
    assert [week_s - 60 < empty_redis.ttl(key) <= week_s for key in kept] == [True] * 3


async def test_the_task_of_a_plain_celery_caller_has_a_record_from_its_start(
    engine, report, empty_redis
):
    request = {"args": [1, 2], "kwargs": {}, "delivery_info": {"routing_key": "celery"}}

    assert report(add, "plain", "STARTED", **request)

    record = await engine.store.get("plain")
    assert (record.definition, record.queue, record.state) == ("add", "celery", "RUNNING")
    assert (record.owner, record.root) == ("", "plain")
    assert await engine.store.read_inputs(["plain"]) == [{"x": 1.0, "y": 2.0}]
    assert empty_redis.zrange("celeryql:tasks", 0, -1) == ["plain"]


async def test_the_end_of_a_step_and_the_next_message_are_written_together(
    engine, chain, report, empty_redis
):
    first, second, third = (planned.id for planned in chain.steps)
    empty_redis.delete("celery")

    report(add, first, "STARTED")
    assert empty_redis.llen("celery") == 0
    report(add, first, "SUCCESS", 9.0)

    assert empty_redis.llen("celery") == 1
    records = await engine.store.get_many([first, second, third, chain.id])
    assert [r.state for r in records] == ["SUCCEEDED", "QUEUED", "WAITING", "RUNNING"]


async def test_the_input_of_a_step_is_complete_when_it_starts(engine, chain, report):
    step_id = chain.steps[2].id
    before = await engine.store.read_inputs([step_id])

    report(mul, step_id, "STARTED", args=[15.0], kwargs={"y": 7})

    assert before == [{"y": 7}]
    assert await engine.store.read_inputs([step_id]) == [{"x": 15.0, "y": 7.0}]


async def test_a_failed_step_skips_the_steps_that_depend_on_it(engine, chain, report):
    first, *later = (planned.id for planned in chain.steps)
    report(add, first, "STARTED")
    report(add, first, "FAILURE", ValueError("no"))

    skipped = await engine.store.get_many(later)
    assert [record.state for record in skipped] == ["SKIPPED", "SKIPPED"]
    assert [record.failure.caused_by for record in skipped] == ["a", "a"]
    workflow = await engine.store.get(chain.id)
    assert (workflow.state, workflow.failure.message) == ("FAILED", "no")
    events = (await engine.store.read_history(workflow)).events
    failed = next(event for event in events if event.state == "FAILED")
    assert failed.workflow.failure.message == "no"
    (graph,) = await engine.store.read_graphs([chain.id])
    assert {k: n for k, n in graph.counts.items() if n} == {"total": 3, "FAILED": 1, "SKIPPED": 2}


async def test_results_too_large_for_the_next_steps_are_refused_before_any_write(
    engine, report, empty_redis
):
    echo = engine.definitions["echo"]
    targets = GroupNode(tuple(StepNode(None, echo, {}, ()) for _ in range(3)))
    first = StepNode("first", echo, {"message": "x"}, ())
    workflow = plan(None, ChainNode((first, targets)), max_steps=9)
    await engine.submitter.enqueue_workflow(workflow, EnqueueOptions(), "ann")
    step_id = workflow.steps[0].id
    report(echo.task, step_id, "STARTED")

    with pytest.raises(EncodeError, match=r"3 steps would take 66,000,006 bytes"):
        report(echo.task, step_id, "SUCCESS", "x" * 22_000_000)

    assert (await engine.store.get(step_id)).state == "RUNNING"


async def test_a_workflow_event_has_the_counts_at_its_time(engine, chain, report):
    for planned in chain.steps:
        report(planned.node.definition.task, planned.id, "STARTED")
        report(planned.node.definition.task, planned.id, "SUCCESS", 1.0)

    events = (await engine.store.read_history(await engine.store.get(chain.id))).events
    ended = [e.workflow.counts.get("SUCCEEDED", 0) for e in events if e.workflow]
    assert ended == sorted(ended)
    assert (events[-1].id, events[-1].state) == (chain.id, "SUCCEEDED")
    assert len({event.cursor for event in events}) == len(events)

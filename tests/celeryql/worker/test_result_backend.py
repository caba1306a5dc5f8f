"""State writes: the record, its event and its workflow follow what Celery stores."""

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
    """Accept add -> add -> mul; gives the workflow."""
    a, m = engine.definitions["add"], engine.definitions["mul"]
    nodes = (
        StepNode("a", a, {"x": 4, "y": 5}, ()),
        StepNode("b", a, {"x": 6}, ()),
        StepNode("c", m, {"y": 7}, ()),
    )
    workflow = plan("sum", ChainNode(nodes), max_steps=9)
    await engine.submitter.enqueue_workflow(workflow, EnqueueOptions(), "ann")
    return workflow


async def test_a_run_is_told_from_start_to_result(engine, report, empty_redis):
    task_id = await accept(engine)

    assert report(add, task_id, "STARTED")
    report(add, task_id, "PROGRESS", {"current": 1, "total": 2, "message": "half"})
    report(add, task_id, "SUCCESS", 3.0)

    events = (await engine.store.history(await engine.store.get(task_id))).events
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


async def test_a_failure_is_kept_with_its_type_and_message(engine, report):
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
async def test_progress_that_json_cannot_hold_is_a_custom_state_only(engine, report, meta):
    task_id = await accept(engine)

    report(add, task_id, "STARTED")
    report(add, task_id, "PROGRESS", meta)

    record = await engine.store.get(task_id)
    assert (record.celery_state, record.progress) == ("PROGRESS", None)


async def test_one_record_that_cannot_be_read_does_not_hide_the_others(engine, empty_redis):
    broken, whole = await accept(engine), await accept(engine)
    empty_redis.hset(f"celeryql:task:{broken}", "created_at", "when?")

    assert [record and record.id for record in await engine.store.get_many([broken, whole])] == [
        None, whole,
    ]  # fmt: skip


async def test_what_a_run_tells_after_another_has_begun_is_not_taken(engine, report, backend):
    task_id = await accept(engine)
    report(add, task_id, "STARTED")
    backend.leases.end("w@host", [task_id])  # its worker was thought lost
    report(add, task_id, "STARTED")

    late = Attempt(number=1, max_attempts=4)
    report(add, task_id, "PROGRESS", {"current": 1}, attempt=late)
    report(add, task_id, "FAILURE", ValueError("late"), attempt=late)
    record = await engine.store.get(task_id)
    assert (record.state, record.attempt, record.progress) == ("RUNNING", 2, None)

    report(add, task_id, "SUCCESS", 3.0, attempt=late)  # but a result is a result
    assert (await engine.store.get(task_id)).state == "SUCCEEDED"


async def test_what_another_worker_says_of_a_run_is_not_taken(engine, report):
    task_id = await accept(engine)
    report(add, task_id, "STARTED", hostname="x@host")

    report(add, task_id, "FAILURE", ValueError("its process was lost"), hostname="w@host")

    assert (await engine.store.get(task_id)).state == "RUNNING"


@pytest.mark.parametrize("reason", ["expired", "revoked"])
async def test_a_copy_that_a_worker_would_not_begin_does_not_end_the_run(engine, report, reason):
    task_id = await accept(engine)
    report(add, task_id, "STARTED")

    report(add, task_id, "REVOKED", TaskRevokedError(reason))

    assert (await engine.store.get(task_id)).state == "RUNNING"


async def test_a_copy_that_is_held_back_does_not_take_the_place_of_a_retry(
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


async def test_a_long_message_of_a_failure_is_cut(engine, report):
    task_id = await accept(engine)

    report(add, task_id, "STARTED")
    report(add, task_id, "FAILURE", ValueError("x" * 20_000))

    assert (await engine.store.get(task_id)).failure.message == "x" * 10_000


async def test_a_retry_that_succeeds_leaves_no_failure_behind(engine, report):
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
async def test_a_revoked_task_says_why(engine, report, reason, state):
    task_id = await accept(engine)

    report(add, task_id, "REVOKED", TaskRevokedError(reason))

    assert (await engine.store.get(task_id)).state == state


async def test_a_final_state_is_never_left(engine, report):
    task_id = await accept(engine)
    report(add, task_id, "STARTED")
    report(add, task_id, "SUCCESS", 3.0)
    before = await engine.store.get(task_id)

    assert not report(add, task_id, "STARTED")
    report(add, task_id, "FAILURE", ValueError("late"))

    assert await engine.store.get(task_id) == before


async def test_what_has_ended_is_kept_for_its_time_only(engine, report, empty_redis):
    task_id = await accept(engine)
    report(add, task_id, "STARTED")
    report(add, task_id, "SUCCESS", 3.0)

    kept = [f"celeryql:{kind}:{task_id}" for kind in ("task", "input", "events")]
    week_s = 7 * 24 * 3600
    assert [week_s - 60 < empty_redis.ttl(key) <= week_s for key in kept] == [True] * 3


async def test_a_task_of_a_plain_caller_is_known_from_its_start(engine, report, empty_redis):
    request = {"args": [1, 2], "kwargs": {}, "delivery_info": {"routing_key": "celery"}}

    assert report(add, "plain", "STARTED", **request)

    record = await engine.store.get("plain")
    assert (record.definition, record.queue, record.state) == ("add", "celery", "RUNNING")
    assert (record.owner, record.root) == ("", "plain")
    assert await engine.store.inputs(["plain"]) == [{"x": 1.0, "y": 2.0}]
    assert empty_redis.zrange("celeryql:tasks", 0, -1) == ["plain"]


async def test_a_step_and_what_follows_it_are_one_instant(engine, chain, report, empty_redis):
    first, second, third = (planned.id for planned in chain.steps)
    empty_redis.delete("celery")

    report(add, first, "STARTED")
    assert empty_redis.llen("celery") == 0
    report(add, first, "SUCCESS", 9.0)

    assert empty_redis.llen("celery") == 1
    records = await engine.store.get_many([first, second, third, chain.id])
    assert [r.state for r in records] == ["SUCCEEDED", "QUEUED", "WAITING", "RUNNING"]


async def test_the_input_of_a_step_is_complete_once_it_starts(engine, chain, report):
    step_id = chain.steps[2].id
    before = await engine.store.inputs([step_id])

    report(mul, step_id, "STARTED", args=[15.0], kwargs={"y": 7})

    assert before == [{"y": 7}]
    assert await engine.store.inputs([step_id]) == [{"x": 15.0, "y": 7.0}]


async def test_a_failed_step_ends_its_chain(engine, chain, report):
    first, *later = (planned.id for planned in chain.steps)
    report(add, first, "STARTED")
    report(add, first, "FAILURE", ValueError("no"))

    skipped = await engine.store.get_many(later)
    assert [record.state for record in skipped] == ["SKIPPED", "SKIPPED"]
    assert [record.failure.caused_by for record in skipped] == ["a", "a"]
    workflow = await engine.store.get(chain.id)
    assert (workflow.state, workflow.failure.message) == ("FAILED", "no")
    events = (await engine.store.history(workflow)).events
    failed = next(event for event in events if event.state == "FAILED")
    assert failed.workflow.failure.message == "no"
    (graph,) = await engine.store.graphs([chain.id])
    assert {k: n for k, n in graph.counts.items() if n} == {"total": 3, "FAILED": 1, "SKIPPED": 2}


async def test_results_too_large_to_hand_on_are_refused_before_anything_is_written(
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


async def test_a_workflow_event_carries_the_counts_of_its_moment(engine, chain, report):
    for planned in chain.steps:
        report(planned.node.definition.task, planned.id, "STARTED")
        report(planned.node.definition.task, planned.id, "SUCCESS", 1.0)

    events = (await engine.store.history(await engine.store.get(chain.id))).events
    ended = [e.workflow.counts.get("SUCCEEDED", 0) for e in events if e.workflow]
    assert ended == sorted(ended)
    assert (events[-1].id, events[-1].state) == (chain.id, "SUCCEEDED")
    assert len({event.cursor for event in events}) == len(events)

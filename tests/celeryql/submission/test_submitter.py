"""A task is accepted as a whole, or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import pytest

from celeryql.definition.options import EnqueueOptions
from celeryql.engine import Engine
from celeryql.errors import IdempotencyConflict, InvalidInput, Unavailable
from celeryql.settings import Settings
from celeryql.submission.build import build_task
from celeryql.workflow.canvas import ChainNode, GroupNode, StepNode
from celeryql.workflow.planner import plan
from graphql_api.local.redis_server import launch, reserve_port, stop


def chain_of(engine, *given: dict) -> ChainNode:
    add = engine.definitions["add"]
    return ChainNode(tuple(StepNode(None, add, arguments, ("input",)) for arguments in given))


async def accept(engine, options: EnqueueOptions | None = None, **arguments):
    options = options or EnqueueOptions()
    add = engine.definitions["add"]
    return await engine.submitter.enqueue(add, add.arguments(**arguments), options, "ann")


async def test_an_accepted_task_has_record_input_event_listing_and_message(engine, empty_redis):
    accepted = await accept(engine, EnqueueOptions(tags=("a",)), x=1, y=2)

    record = await engine.store.get(accepted.record.id)
    assert (record.state, record.definition, record.queue) == ("QUEUED", "add", "celery")
    assert (record.owner, record.tags, record.attempt) == ("ann", ("a",), 0)
    assert await engine.store.read_inputs([accepted.record.id]) == [{"x": 1.0, "y": 2.0}]
    (event,) = (await engine.store.read_history(accepted.record)).events
    assert (event.state, event.cursor) == ("QUEUED", record.cursor)
    assert empty_redis.zrange("celeryql:tasks", 0, -1) == [accepted.record.id]
    assert empty_redis.zrange("celeryql:tasks:ann", 0, -1) == [accepted.record.id]
    (message,) = empty_redis.lrange("celery", 0, -1)
    assert json.loads(message)["headers"]["id"] == accepted.record.id


async def test_no_key_of_a_waiting_task_expires(engine, empty_redis):
    await accept(engine, x=1, y=2)

    temporary = ("celeryql:sweep", "celeryql:grace", "celeryql:rate:ann")
    ours = [key for key in empty_redis.scan_iter() if key not in temporary]
    assert {key: empty_redis.ttl(key) for key in ours if empty_redis.ttl(key) > 0} == {}


async def test_a_workflow_is_stored_as_a_whole_and_only_its_first_step_is_sent(engine, empty_redis):
    canvas = chain_of(engine, {"x": 4, "y": 5}, {"x": 6}, {"y": 7})
    workflow = plan("sum", canvas, max_steps=9)

    accepted = await engine.submitter.enqueue_workflow(workflow, EnqueueOptions(), "ann")

    (graph,) = await engine.store.read_graphs([accepted.record.id])
    assert (graph.name, graph.counts) == ("sum", {"total": 3, "QUEUED": 1, "WAITING": 2})
    steps = await engine.store.get_many([step.id for step in graph.steps])
    assert [step.state for step in steps] == ["QUEUED", "WAITING", "WAITING"]
    assert {step.root for step in steps} == {accepted.record.id}
    assert empty_redis.llen("celery") == 1
    assert len((await engine.store.read_history(accepted.record)).events) == 4


async def test_a_workflow_too_large_for_the_broker_is_refused(engine, empty_redis):
    echo = engine.definitions["echo"]
    steps = tuple(StepNode(None, echo, {"message": "x" * 8_000}, ()) for _ in range(600))

    workflow = plan(None, ChainNode(steps), max_steps=1_000)

    with pytest.raises(InvalidInput, match="4,000,000 bytes"):
        await engine.submitter.enqueue_workflow(workflow, EnqueueOptions(), "ann")
    assert empty_redis.keys("celeryql:task*") == empty_redis.keys("celery") == []


async def test_the_same_key_and_input_return_the_same_task(engine, empty_redis):
    first = await accept(engine, EnqueueOptions(idempotency_key="key"), x=1, y=2)
    second = await accept(engine, EnqueueOptions(idempotency_key="key"), x=1, y=2)

    assert (first.deduplicated, second.deduplicated) == (False, True)
    assert first.record.id == second.record.id
    assert empty_redis.llen("celery") == 1


async def test_the_same_key_with_another_input_is_a_conflict(engine):
    first = await accept(engine, EnqueueOptions(idempotency_key="key"), x=1, y=2)

    with pytest.raises(IdempotencyConflict) as caught:
        await accept(engine, EnqueueOptions(idempotency_key="key"), x=1, y=3)
    assert caught.value.existing.id == first.record.id


async def test_a_listing_drops_tasks_whose_records_have_expired(engine, empty_redis):
    canvas = chain_of(engine, {"x": 4, "y": 5}, *[{"x": 6}] * 18)
    for _ in range(40):
        for key in empty_redis.scan_iter("celeryql:task:*"):
            empty_redis.delete(key)
        await engine.submitter.enqueue_workflow(
            plan(None, canvas, max_steps=20), EnqueueOptions(), "ann"
        )

    assert (
        empty_redis.zcard("celeryql:tasks:ann") < 80
    )  # 800 were listed, and the records of 20 exist


async def test_a_batch_is_listed_in_its_order_and_drops_expired_tasks(engine, empty_redis):
    add = engine.definitions["add"]
    listed = []
    for count in (700, 1_100):  # more than one Redis command may name
        for key in empty_redis.scan_iter("celeryql:task:*"):
            empty_redis.delete(key)
        batch = [build_task(add, add.arguments(x=1, y=2), EnqueueOptions()) for _ in range(count)]
        result = await engine.submitter.enqueue_many(batch, "ann")
        listed = [accepted.record.id for accepted in result.outcomes]

    assert empty_redis.zrange("celeryql:tasks", 0, -1) == listed
    assert empty_redis.zrange("celeryql:tasks:ann", 0, -1) == listed


async def test_the_answer_for_an_accepted_task_is_its_record(engine):
    options = EnqueueOptions(tags=("a",), start_in_s=60, expires_in_s=90, idempotency_key="k")

    accepted = await accept(engine, options, x=1, y=2)
    again = await accept(engine, options, x=1, y=2)

    assert accepted.record == await engine.store.get(accepted.record.id) == again.record


async def test_the_same_steps_joined_in_another_way_are_another_input(engine):
    echo = engine.definitions["echo"]
    a, b, c = (StepNode(key, echo, {"message": "x"}, ()) for key in "abc")
    canvases = [
        ChainNode((GroupNode((a, b)), c)),
        GroupNode((a, ChainNode((b, c)))),
    ]
    options = EnqueueOptions(idempotency_key="key")
    first, second = (plan(None, canvas, max_steps=9) for canvas in canvases)

    await engine.submitter.enqueue_workflow(first, options, "ann")

    with pytest.raises(IdempotencyConflict):
        await engine.submitter.enqueue_workflow(second, options, "ann")


async def test_concurrent_calls_with_one_key_are_accepted_once(engine, empty_redis):
    answers = await asyncio.gather(
        *[accept(engine, EnqueueOptions(idempotency_key="key"), x=1, y=2) for _ in range(20)]
    )

    assert len({answer.record.id for answer in answers}) == 1
    assert [answer.deduplicated for answer in answers].count(False) == 1
    assert empty_redis.llen("celery") == 1


async def test_without_redis_the_error_says_that_nothing_was_accepted(engine):
    settings = Settings(redis_url=f"redis://127.0.0.1:{reserve_port()}/0")
    async with Engine(settings, engine.definitions, engine.queues) as cut_off:
        with pytest.raises(Unavailable) as caught:
            await accept(cut_off, x=1, y=2)

    assert not caught.value.outcome_unknown


@pytest.mark.alone
async def test_a_redis_that_stops_answering_leaves_the_outcome_unknown(engine, tmp_path):
    server, process = launch(tmp_path)
    try:
        async with Engine(
            Settings(redis_url=server.url), engine.definitions, engine.queues
        ) as cut_off:
            await accept(cut_off, x=1, y=2)
            os.kill(process.pid, signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                await accept(cut_off, x=1, y=2)
            took_s = time.monotonic() - began
            os.kill(process.pid, signal.SIGCONT)
    finally:
        stop(process)

    assert caught.value.outcome_unknown
    assert took_s < 1.5


async def test_a_connection_that_the_server_closed_is_not_used_again(engine, empty_redis):
    await accept(engine, x=1, y=2)

    empty_redis.client_kill_filter(_type="normal", skipme=True)
    (pooled,) = engine.submitter._redis.connection_pool._available_connections
    async with asyncio.timeout(5):
        while not await pooled.can_read():  # noqa: ASYNC110  # no event marks the end of the stream
            await asyncio.sleep(0.01)

    assert not (await accept(engine, x=1, y=2)).deduplicated

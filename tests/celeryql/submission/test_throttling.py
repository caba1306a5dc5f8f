"""Limits on how fast an owner enqueues, and on how many tasks wait in a queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from celeryql.adopt.exposed_tasks import exposed_tasks, queue_names
from celeryql.definition.options import EnqueueOptions
from celeryql.engine import Engine
from celeryql.errors import Throttled
from celeryql.settings import Settings
from celeryql.submission.build import build_task
from celeryql.workflow.canvas import GroupNode, StepNode
from celeryql.workflow.planner import plan
from tasks.celery_app import app

ADD = exposed_tasks(app)["add"]


def submission(**options):
    return build_task(ADD, ADD.arguments(x=1, y=2), EnqueueOptions(**options))


def group_of(size):
    steps = (StepNode(None, ADD, {"x": 1, "y": 2}, ("input",)) for _ in range(size))
    return plan(None, GroupNode(tuple(steps)), max_steps=100)


@pytest.fixture
def start(url):
    def start_engine(**limits):
        return Engine(Settings(redis_url=url, **limits), exposed_tasks(app), queue_names(app))

    return start_engine


async def enqueue_many(engine, count, owner):
    """Return whether each of some tasks was accepted."""
    result = await engine.submitter.enqueue_many([submission() for _ in range(count)], owner)
    return [not isinstance(outcome, Throttled) for outcome in result.outcomes]


async def test_each_owner_has_its_own_burst_and_rate(start):
    async with start(enqueue_rate=0.1, enqueue_burst=5) as engine:
        assert await enqueue_many(engine, 7, "ann") == [True] * 5 + [False] * 2
        assert await enqueue_many(engine, 1, "bob") == [True]
        with pytest.raises(Throttled) as refused:
            await engine.submitter.submit(submission(), "ann")

        assert 9 < refused.value.retry_after_s <= 10


async def test_a_throttled_task_is_accepted_after_the_announced_time(start):
    async with start(enqueue_rate=2.0, enqueue_burst=1) as engine:
        await engine.submitter.submit(submission(), "ann")
        with pytest.raises(Throttled) as refused:
            await engine.submitter.submit(submission(), "ann")
        due = datetime.now(UTC) + timedelta(seconds=refused.value.retry_after_s)
        while datetime.now(UTC) < due:
            await engine.redis.ping()

        await engine.submitter.submit(submission(), "ann")

    assert 0.3 < refused.value.retry_after_s <= 0.5


async def test_a_rate_above_one_task_a_millisecond_is_kept(start):
    async with start(enqueue_rate=5_000.0, enqueue_burst=500) as engine:
        accepted = await enqueue_many(engine, 1_000, "ann")

        # Redis runs the script at one instant, so no token is added in between.
        assert accepted.count(True) == 500


async def test_each_step_of_a_workflow_counts(start):
    async with start(enqueue_rate=0.01, enqueue_burst=10) as engine:
        await engine.submitter.enqueue_workflow(group_of(8), EnqueueOptions(), "ann")
        with pytest.raises(Throttled):
            await engine.submitter.enqueue_workflow(group_of(8), EnqueueOptions(), "ann")

        assert await enqueue_many(engine, 2, "ann") == [True, False]


async def test_a_workflow_larger_than_the_burst_is_accepted_after_a_pause(start):
    async with start(enqueue_rate=0.01, enqueue_burst=3) as engine:
        await engine.submitter.enqueue_workflow(group_of(8), EnqueueOptions(), "ann")

        assert await enqueue_many(engine, 1, "ann") == [False]


async def test_a_repeated_idempotency_key_is_never_throttled(start):
    async with start(enqueue_rate=0.01, enqueue_burst=1) as engine:
        first = await engine.submitter.submit(submission(idempotency_key="k"), "ann")
        again = await engine.submitter.submit(submission(idempotency_key="k"), "ann")

    assert (again.deduplicated, again.record.id) == (True, first.record.id)


async def test_a_full_queue_refuses_tasks_and_others_accept_them(start, empty_redis):
    async with start(max_waiting=3) as engine:
        assert await enqueue_many(engine, 5, "ann") == [True] * 3 + [False] * 2
        assert await enqueue_many(engine, 1, "bob") == [False]
        await engine.submitter.submit(submission(priority="HIGH"), "ann")

        for _ in range(3):
            await engine.submitter.submit(submission(start_in_s=60), "ann")
        with pytest.raises(Throttled, match="queue is full"):
            await engine.submitter.submit(submission(start_in_s=60), "ann")

    assert empty_redis.llen("celery") == 3
    assert empty_redis.zcard("celeryql:tasks") == 7, "a refused task leaves nothing behind"


async def test_the_highest_rate_is_accepted(start):
    async with start(enqueue_rate=1_000_000.0, enqueue_burst=1_000_000) as engine:
        assert await enqueue_many(engine, 100, "ann") == [True] * 100


@pytest.mark.parametrize("rate", [0, -1, 1e9, float("inf"), float("nan")])
def test_a_rate_out_of_range_is_refused(url, rate):
    with pytest.raises(ValidationError):
        Settings(redis_url=url, enqueue_rate=rate)

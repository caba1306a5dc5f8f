"""How much one owner may enqueue, and how long a queue may get."""

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


def one(**options):
    return build_task(ADD, ADD.arguments(x=1, y=2), EnqueueOptions(**options))


def group_of(size):
    steps = (StepNode(None, ADD, {"x": 1, "y": 2}, ("input",)) for _ in range(size))
    return plan(None, GroupNode(tuple(steps)), max_steps=100)


@pytest.fixture
def started(url):
    def start(**bounds):
        return Engine(Settings(redis_url=url, **bounds), exposed_tasks(app), queue_names(app))

    return start


async def accepted_of(engine, count, owner):
    answers = await engine.submitter.enqueue_many([one() for _ in range(count)], owner)
    return [not isinstance(outcome, Throttled) for outcome in answers.outcomes]


async def test_an_owner_has_a_burst_and_then_a_rate_and_others_have_their_own(started):
    async with started(enqueue_rate=0.1, enqueue_burst=5) as engine:
        assert await accepted_of(engine, 7, "ann") == [True] * 5 + [False] * 2
        assert await accepted_of(engine, 1, "bob") == [True]
        with pytest.raises(Throttled) as refused:
            await engine.submitter.submit(one(), "ann")

        assert 9 < refused.value.retry_after_s <= 10


async def test_what_was_refused_can_be_accepted_when_it_was_said(started):
    async with started(enqueue_rate=2.0, enqueue_burst=1) as engine:
        await engine.submitter.submit(one(), "ann")
        with pytest.raises(Throttled) as refused:
            await engine.submitter.submit(one(), "ann")
        due = datetime.now(UTC) + timedelta(seconds=refused.value.retry_after_s)
        while datetime.now(UTC) < due:
            await engine.redis.ping()

        await engine.submitter.submit(one(), "ann")

    assert 0.3 < refused.value.retry_after_s <= 0.5


async def test_a_rate_above_one_in_a_millisecond_is_kept_to(started):
    async with started(enqueue_rate=5_000.0, enqueue_burst=500) as engine:
        accepted = await accepted_of(engine, 1_000, "ann")

        # One script is one instant.
        assert accepted.count(True) == 500


async def test_a_workflow_counts_with_all_of_its_steps(started):
    async with started(enqueue_rate=0.01, enqueue_burst=10) as engine:
        await engine.submitter.enqueue_workflow(group_of(8), EnqueueOptions(), "ann")
        with pytest.raises(Throttled):
            await engine.submitter.enqueue_workflow(group_of(8), EnqueueOptions(), "ann")

        assert await accepted_of(engine, 2, "ann") == [True, False]


async def test_what_is_larger_than_a_burst_is_accepted_after_a_pause(started):
    async with started(enqueue_rate=0.01, enqueue_burst=3) as engine:
        await engine.submitter.enqueue_workflow(group_of(8), EnqueueOptions(), "ann")

        assert await accepted_of(engine, 1, "ann") == [False]


async def test_a_key_that_was_seen_costs_nothing_and_is_never_throttled(started):
    async with started(enqueue_rate=0.01, enqueue_burst=1) as engine:
        first = await engine.submitter.submit(one(idempotency_key="k"), "ann")
        again = await engine.submitter.submit(one(idempotency_key="k"), "ann")

    assert (again.deduplicated, again.record.id) == (True, first.record.id)


async def test_a_full_queue_takes_no_more_and_others_do(started, empty_redis):
    async with started(max_waiting=3) as engine:
        assert await accepted_of(engine, 5, "ann") == [True] * 3 + [False] * 2
        assert await accepted_of(engine, 1, "bob") == [False]
        await engine.submitter.submit(one(priority="HIGH"), "ann")

        for _ in range(3):
            await engine.submitter.submit(one(start_in_s=60), "ann")
        with pytest.raises(Throttled, match="queue is full"):
            await engine.submitter.submit(one(start_in_s=60), "ann")

    assert empty_redis.llen("celery") == 3
    assert empty_redis.zcard("celeryql:tasks") == 7, "what is refused leaves nothing behind"


async def test_the_highest_rate_is_one_too(started):
    async with started(enqueue_rate=1_000_000.0, enqueue_burst=1_000_000) as engine:
        assert await accepted_of(engine, 100, "ann") == [True] * 100


@pytest.mark.parametrize("rate", [0, -1, 1e9, float("inf"), float("nan")])
def test_a_rate_beyond_reason_is_refused(url, rate):
    with pytest.raises(ValidationError):
        Settings(redis_url=url, enqueue_rate=rate)

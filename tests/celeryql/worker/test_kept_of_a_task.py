"""What Redis keeps of a task after its start and after its end, with and without an expiry."""

from __future__ import annotations

import pytest
from celery import states

from celeryql.definition.options import EnqueueOptions
from tasks.arithmetic import add

# What differs from one task to the next, and what only one that may expire has.
OF_ITS_OWN = {"root", "cursor", "created_at", "started_at", "finished_at", "began_at", "start",
              "expires_at"}  # fmt: skip

TIMED = ("wait", "run")


async def left_of(engine, report, redis, options: EnqueueOptions) -> dict:
    """Run a task, and tell all that is kept of it after its start and after its end."""
    given = {"x": 1, "y": 2}
    definition = engine.definitions["add"]
    arguments = definition.arguments(**given)
    accepted = await engine.submitter.enqueue(definition, arguments, options, "ann")
    id_ = accepted.record.id
    task, keys = f"celeryql:task:{id_}", ("task", "input", "events")

    def kept() -> dict[str, str]:
        return {k: v for k, v in redis.hgetall(task).items() if k not in OF_ITS_OWN}

    start = report(add, id_, states.STARTED)
    running = kept()
    lease = int(running.pop("lease")) - int(redis.hget(task, "began_at"))
    report(add, id_, states.SUCCESS, 3.0)
    lived = [redis.ttl(f"celeryql:{key}:{id_}") for key in keys]
    events = (await engine.store.history(accepted.record)).events
    return {
        "start": (start.number, start.max_attempts),
        "lease_ms": lease,
        "running": running,
        "ended": kept(),
        "events": [(e.kind, e.state, e.version, e.attempt, e.worker) for e in events],
        "are_timed": [ttl > 0 for ttl in (*lived, redis.ttl(f"celery-task-meta-{id_}"))],
        "durations": [redis.hexists("celeryql:timings:add", f"{what}:sum_ms") for what in TIMED],
        "expiring": redis.zscore("celeryql:expiring", id_),
    }


async def test_a_task_that_may_expire_leaves_the_same_as_any_other(engine, report, empty_redis):
    plain = await left_of(engine, report, empty_redis, EnqueueOptions())
    empty_redis.delete("celeryql:timings:add")
    expiring = await left_of(engine, report, empty_redis, EnqueueOptions(expires_in_s=3_600))

    assert plain == expiring
    assert plain["are_timed"] == [True] * 4
    assert [state for _, state, *_ in plain["events"]] == ["QUEUED", "RUNNING", "SUCCEEDED"]


@pytest.mark.parametrize(
    "options", [EnqueueOptions(), EnqueueOptions(expires_in_s=3_600)], ids=["plain", "may expire"]
)
async def test_a_claim_lives_as_long_as_its_task(engine, report, empty_redis, options):
    asked = options.model_copy(update={"idempotency_key": "once"})

    await left_of(engine, report, empty_redis, asked)

    assert empty_redis.ttl("celeryql:idempotency:3:ann:once") > 0

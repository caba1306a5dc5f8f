"""What Redis stores of a task after its start and its end, with and without an expiry."""

from __future__ import annotations

import pytest
from celery import states

from celeryql.definition.options import EnqueueOptions
from tasks.arithmetic import add

# Fields that differ between tasks, and one that only tasks with an expiry have.
NOT_COMPARED = {"root", "cursor", "created_at", "started_at", "finished_at", "began_at", "start",
              "expires_at"}  # fmt: skip

TIMED = ("wait", "run")


async def run_and_read(engine, report, redis, options: EnqueueOptions) -> dict:
    """Run a task, and return all that Redis stores of it after its start and its end."""
    given = {"x": 1, "y": 2}
    definition = engine.definitions["add"]
    arguments = definition.arguments(**given)
    accepted = await engine.submitter.enqueue(definition, arguments, options, "ann")
    id_ = accepted.record.id
    task, keys = f"celeryql:task:{id_}", ("task", "input", "events")

    def record() -> dict[str, str]:
        return {k: v for k, v in redis.hgetall(task).items() if k not in NOT_COMPARED}

    attempt = report(add, id_, states.STARTED)
    running = record()
    lease_ms = int(running.pop("lease")) - int(redis.hget(task, "began_at"))
    report(add, id_, states.SUCCESS, 3.0)
    ttls_s = [redis.ttl(f"celeryql:{key}:{id_}") for key in keys]
    events = (await engine.store.read_history(accepted.record)).events
    return {
        "start": (attempt.number, attempt.max_attempts),
        "lease_ms": lease_ms,
        "running": running,
        "ended": record(),
        "events": [(e.kind, e.state, e.version, e.attempt, e.worker) for e in events],
        "expire": [ttl > 0 for ttl in (*ttls_s, redis.ttl(f"celery-task-meta-{id_}"))],
        "durations": [redis.hexists("celeryql:timings:add", f"{what}:sum_ms") for what in TIMED],
        "expiring": redis.zscore("celeryql:expiring", id_),
    }


async def test_a_task_with_an_expiry_stores_the_same_as_any_other(engine, report, empty_redis):
    plain = await run_and_read(engine, report, empty_redis, EnqueueOptions())
    empty_redis.delete("celeryql:timings:add")
    expiring = await run_and_read(engine, report, empty_redis, EnqueueOptions(expires_in_s=3_600))

    assert plain == expiring
    assert plain["expire"] == [True] * 4
    assert [state for _, state, *_ in plain["events"]] == ["QUEUED", "RUNNING", "SUCCEEDED"]


@pytest.mark.parametrize(
    "options", [EnqueueOptions(), EnqueueOptions(expires_in_s=3_600)], ids=["plain", "with expiry"]
)
async def test_an_idempotency_key_expires_with_its_task(engine, report, empty_redis, options):
    options = options.model_copy(update={"idempotency_key": "once"})

    await run_and_read(engine, report, empty_redis, options)

    assert empty_redis.ttl("celeryql:idempotency:3:ann:once") > 0

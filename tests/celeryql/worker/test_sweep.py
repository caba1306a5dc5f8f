"""The sweep sends due messages once, however many processes sweep."""

from __future__ import annotations

import asyncio
import json

from redis import Redis

from celeryql.definition.options import EnqueueOptions
from celeryql.engine import Engine
from celeryql.settings import Settings
from celeryql.submission.build import build_task
from celeryql.worker.sweep import Sweeper
from graphql_api.local.redis_server import launch, stop

DEADLINE_S = 5


async def accept(engine: Engine, **options) -> str:
    add = engine.definitions["add"]
    arguments = add.arguments(x=1, y=2)
    return (
        await engine.submitter.enqueue(add, arguments, EnqueueOptions(**options), "ann")
    ).record.id


async def reaches(engine: Engine, task_id: str, state: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await engine.store.get(task_id)).state != state:  # noqa: ASYNC110  # Redis has no event
            await asyncio.sleep(0.01)


async def test_due_messages_are_sent_once_by_several_sweepers(engine, empty_redis, url):
    ids = [await accept(engine, start_in_s=0.1) for _ in range(300)]
    async with Engine(
        Settings(redis_url=url), engine.definitions, engine.queues
    ):  # this one sweeps as well
        for task_id in ids:
            await reaches(engine, task_id, "QUEUED")

    sent = [json.loads(message)["headers"]["id"] for message in empty_redis.lrange("celery", 0, -1)]
    assert sorted(sent) == sorted(ids)
    assert empty_redis.exists("celeryql:scheduled", "celeryql:scheduled_messages") == 0
    events = (await engine.store.read_history(await engine.store.get(ids[0]))).events
    assert [event.state for event in events] == ["SCHEDULED", "QUEUED"]


async def test_one_sweep_sends_more_than_one_script_call_can(engine, empty_redis):
    add = engine.definitions["add"]
    later, arguments = EnqueueOptions(start_in_s=60), add.arguments(x=1, y=2)
    requests = [build_task(add, arguments, later) for _ in range(450)]
    await engine.submitter.enqueue_many(requests, "ann")
    due = empty_redis.zrange("celeryql:scheduled", 0, -1)
    empty_redis.zadd("celeryql:scheduled", dict.fromkeys(due, 1))
    empty_redis.delete("celeryql:sweep")

    Sweeper(empty_redis, Settings()).sweep()

    assert empty_redis.llen("celery") == 450


async def test_scheduled_tasks_survive_a_restart_of_redis(engine, tmp_path):
    server, process = launch(tmp_path)
    async with Engine(Settings(redis_url=server.url), engine.definitions, engine.queues) as before:
        task_id = await accept(before, start_in_s=1)
    stop(process)

    server, process = launch(tmp_path)
    try:
        async with Engine(
            Settings(redis_url=server.url), engine.definitions, engine.queues
        ) as after:
            await reaches(after, task_id, "QUEUED")
        with Redis.from_url(server.url, decode_responses=True) as redis:
            assert redis.llen("celery") == 1
    finally:
        stop(process)

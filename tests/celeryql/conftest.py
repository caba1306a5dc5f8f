"""The engine's parts on a private Redis without a worker: tests write states as a worker does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from celery import Task, states
from celery.app.task import Context
from redis import Redis

from celeryql.adopt.exposed_tasks import exposed_tasks, queue_names
from celeryql.broker.captured_messages import start_capture
from celeryql.engine import Engine
from celeryql.settings import Settings
from celeryql.worker.result_backend import Backend
from tasks.celery_app import app


@pytest.fixture
def url(empty_redis: Redis, redis_url: str) -> str:
    return redis_url.removesuffix("0") + "1"


@pytest.fixture
async def engine(url: str) -> AsyncIterator[Engine]:
    async with Engine(Settings(redis_url=url), exposed_tasks(app), queue_names(app)) as parts:
        yield parts


@pytest.fixture
def backend(url: str) -> Backend:
    return Backend(app=app, url=url)


Report = Callable[..., Any]


@pytest.fixture
def report(backend: Backend) -> Report:
    """Write a state as a worker does: `report(task, task_id, "STARTED")`."""

    def write(task: Task, task_id: str, state: str, result: Any = None, **request: Any) -> Any:
        context = Context(
            {"id": task_id, "task": task.name, "hostname": "w@host", "delivery_info": {}}
            | {"properties": {"delivery_tag": f"tag of {task_id}"}}
            | request
        )
        if state == states.STARTED:
            return backend.mark_as_started(task_id, request=context)
        return backend.store_result(task_id, result, state, request=context)

    return write


@pytest.fixture
def finish(report: Report) -> Callable[..., None]:
    """Run a task as a worker would, with what follows it in a chain."""

    def run(
        task: Task, task_id: str, result: Any, following: Task | None = None, *ids: str
    ) -> None:
        assert report(task, task_id, states.STARTED)
        start_capture()
        if following is not None:
            following.apply_async((result,), task_id=ids[0])
        report(task, task_id, states.SUCCESS, result)

    return run

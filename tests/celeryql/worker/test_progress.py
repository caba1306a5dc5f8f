"""Progress reports: at most 20 a second are published, and the last one always."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import Retry

from celeryql.worker.progress import report_progress
from celeryql.worker.result_backend import Backend
from celeryql.worker.task_class import TypedTask

TASK_ID = "counting"
BACKEND = f"{Backend.__module__}.{Backend.__qualname__}"
NO_REDIS = f"{BACKEND}+redis://127.0.0.1:1/0"


@pytest.fixture
def app(url: str) -> Iterator[Celery]:
    backend = f"{BACKEND}+{url}"
    app = Celery("kitchen", task_cls=TypedTask, set_as_current=False, broker=url, backend=backend)
    app.conf.broker_transport = "celeryql.broker.transport:Transport"
    yield app
    app.close()


@pytest.fixture
def run(app: Celery) -> Callable[[Callable[..., Any]], None]:
    """Run the body of a task as a worker does, up to its final state."""

    def trace(body: Callable[..., Any], *, bind: bool = False) -> None:
        task = app.task(body, name="kitchen.count", bind=bind, shared=False)
        request = {"id": TASK_ID, "task": task.name, "hostname": "w@host", "delivery_info": {}}
        build_tracer(task.name, task, app=app)(TASK_ID, (), {}, request)

    return trace


async def reported(engine) -> list[str | float]:
    """List the states of the task in order, and for progress the reported number."""
    events = (await engine.store.read_history(await engine.store.get(TASK_ID))).events
    return [e.progress.current if e.kind == "PROGRESS" else e.celery_state for e in events]


async def test_the_last_report_is_published_before_the_final_state(engine, run):
    def count() -> None:
        """Report three times at once, without a total."""
        for number in (1, 2, 3):
            report_progress(number)

    run(count)

    assert await reported(engine) == ["STARTED", 1, 3, "SUCCESS"]


async def test_the_last_report_is_published_when_the_body_raises(engine, run):
    def count() -> None:
        """Fail after the second report."""
        report_progress(1, 10)
        report_progress(2, 10)
        raise ValueError("out of numbers")

    run(count)

    assert await reported(engine) == ["STARTED", 1, 2, "FAILURE"]


async def test_the_last_report_is_published_before_a_retry(engine, run, empty_redis):
    def count(self: TypedTask) -> None:
        """Ask for another attempt after the second report."""
        report_progress(1)
        report_progress(2)
        raise self.retry(countdown=60)

    run(count, bind=True)

    assert await reported(engine) == ["STARTED", 1, 2, "RETRY"]
    assert empty_redis.zcard("celeryql:scheduled") == 1


async def test_a_report_that_was_published_is_not_published_again(engine, run):
    def count() -> None:
        """Report the end of the work in time."""
        report_progress(1, 2)
        report_progress(2, 2)

    run(count)

    assert await reported(engine) == ["STARTED", 1, 2, "SUCCESS"]


async def test_progress_comes_before_the_custom_state_that_follows_it(engine, run):
    def count(self: TypedTask) -> None:
        """Enter a state of its own after the second report."""
        report_progress(1)
        report_progress(2)
        self.update_state(state="CHECKING", meta="the numbers")

    run(count, bind=True)

    assert await reported(engine) == ["STARTED", 1, 2, "CHECKING", "SUCCESS"]


async def test_progress_does_not_send_the_message_of_a_retry(engine, run, empty_redis):
    scheduled = []

    def count(self: TypedTask) -> None:
        """Report once more while another attempt is asked for."""
        try:
            self.retry(countdown=60)
        except Retry:
            report_progress(1)
            scheduled.append(empty_redis.zcard("celeryql:scheduled"))
            raise

    run(count, bind=True)

    assert await reported(engine) == ["STARTED", 1, "RETRY"]
    assert [*scheduled, empty_redis.zcard("celeryql:scheduled")] == [0, 1]


def test_an_eager_task_publishes_no_progress():
    app = Celery("kitchen", task_cls=TypedTask, set_as_current=False, backend=NO_REDIS)

    @app.task(shared=False)
    def count() -> int:
        """Report twice."""
        report_progress(1)
        report_progress(2)
        return 2

    with app:
        assert count.apply().get() == 2

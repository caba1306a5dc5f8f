"""Periodic jobs: no failure ends them, and each kind of failure is logged and reported once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from redis import exceptions

from celeryql.periodic_jobs import PeriodicJob


class Work:
    """Raises the given errors in order, then succeeds."""

    def __init__(self, *errors):
        self._errors = list(errors)
        self.attempts = 0
        self.has_succeeded = asyncio.Event()

    async def do(self):
        self.attempts += 1
        if self._errors:
            raise self._errors.pop(0)
        self.has_succeeded.set()


@asynccontextmanager
async def repeated(job, do):
    task = asyncio.create_task(job.run_until_canceled(do))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to perform operation; the handler is closed"),
        exceptions.ConnectionError("gone"),
        exceptions.ResponseError("WRONGTYPE"),
        asyncio.CancelledError(),
        RecursionError(),
    ],
    ids=repr,
)
async def test_no_failure_ends_a_job(error):
    work = Work(error, error)
    async with repeated(PeriodicJob("dig", 0.01), work.do), asyncio.timeout(10):
        await work.has_succeeded.wait()


async def test_repeated_failures_are_logged_once_with_a_traceback(caplog):
    work = Work(*[KeyError("spade")] * 3)
    async with repeated(PeriodicJob("dig", 0.01), work.do), asyncio.timeout(10):
        await work.has_succeeded.wait()

    (record,) = caplog.records
    assert record.getMessage() == "Cannot dig: 'spade'"
    assert record.exc_info[0] is KeyError


async def test_the_start_and_end_of_an_outage_are_logged_without_a_traceback(caplog):
    work = Work(*[exceptions.ConnectionError("gone")] * 2)
    async with repeated(PeriodicJob("dig", 0.01), work.do), asyncio.timeout(10):
        while len(caplog.records) < 2:  # noqa: ASYNC110  # caplog cannot be awaited
            await asyncio.sleep(0.01)

    assert [record.getMessage() for record in caplog.records] == [
        "Cannot dig: gone",
        "Can dig again",
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_pauses_grow_to_half_a_second_and_are_reset_by_a_success():
    job, pauses_s = PeriodicJob("dig", 0.3), []
    for _ in range(5):
        with job.attempt():
            raise ValueError
        pauses_s.append(job.pause_s)
    with job.attempt():
        pass

    assert pauses_s == [0.3, 0.3, 0.4, 0.5, 0.5]
    assert job.pause_s == 0.3


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ValueError("x"), "cannot dig (ValueError)"),
        (exceptions.ResponseError("WRONGTYPE"), "cannot dig (Redis answers with an error)"),
        (exceptions.TimeoutError("slow"), "Redis does not answer"),
        (OSError("refused"), "Redis does not answer"),
        (exceptions.OutOfMemoryError("OOM"), None),
        (exceptions.ResponseError("UNBLOCKED force unblock"), None),
    ],
    ids=repr,
)
def test_a_job_reports_its_problem(error, problem):
    job = PeriodicJob("dig")
    assert job.problem is None
    with job.attempt():
        raise error
    assert job.problem == problem


def test_a_success_ends_an_outage_at_once_but_not_another_error():
    outage, other = PeriodicJob("dig"), PeriodicJob("sow")
    for job, error in ((outage, OSError()), (other, ValueError())):
        with job.attempt():
            raise error
        with job.attempt():
            pass

    assert outage.problem is None
    assert other.problem == "cannot sow (ValueError)"


def test_an_attempt_that_takes_too_long_is_reported():
    job = PeriodicJob("dig", stalled_after_s=0.0)
    with job.attempt():
        assert job.problem == "has tried to dig for 0 s"
    assert job.problem is None


async def test_a_job_with_more_to_do_does_not_wait():
    left = list(range(20))

    async def do():
        return bool(left.pop() if left else 0)

    async with repeated(PeriodicJob("dig", 60.0), do), asyncio.timeout(10):
        while left:  # noqa: ASYNC110  # nothing to await here
            await asyncio.sleep(0)


async def test_a_canceled_job_ends_even_if_a_library_swallows_the_cancellation():
    async def do():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"

    async with repeated(PeriodicJob("dig"), do) as task:
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()

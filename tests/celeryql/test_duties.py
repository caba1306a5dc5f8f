"""What a process does again and again: no failure ends it, each is logged and told once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from redis import exceptions

from celeryql.duties import Duty


class Work:
    """Fails in a row as it is said, and then does not."""

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
async def kept_up(duty, do):
    task = asyncio.create_task(duty.keep_up(do))
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
async def test_no_failure_ends_it(error):
    work = Work(error, error)
    async with kept_up(Duty("dig", 0.01), work.do), asyncio.timeout(10):
        await work.has_succeeded.wait()


async def test_a_row_of_failures_is_logged_once_with_a_traceback(caplog):
    work = Work(*[KeyError("spade")] * 3)
    async with kept_up(Duty("dig", 0.01), work.do), asyncio.timeout(10):
        await work.has_succeeded.wait()

    (record,) = caplog.records
    assert record.getMessage() == "Cannot dig: 'spade'"
    assert record.exc_info[0] is KeyError


async def test_an_outage_is_logged_without_a_traceback_and_so_is_its_end(caplog):
    work = Work(*[exceptions.ConnectionError("gone")] * 2)
    async with kept_up(Duty("dig", 0.01), work.do), asyncio.timeout(10):
        while len(caplog.records) < 2:  # noqa: ASYNC110  # a log has no event for it
            await asyncio.sleep(0.01)

    assert [record.getMessage() for record in caplog.records] == [
        "Cannot dig: gone",
        "Can dig again",
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_pauses_grow_up_to_half_a_second_and_are_as_ever_after_a_success():
    duty, pauses_s = Duty("dig", 0.3), []
    for _ in range(5):
        with duty.attempt():
            raise ValueError
        pauses_s.append(duty.pause_s)
    with duty.attempt():
        pass

    assert pauses_s == [0.3, 0.3, 0.4, 0.5, 0.5]
    assert duty.pause_s == 0.3


@pytest.mark.parametrize(
    ("error", "ailment"),
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
def test_it_says_what_is_wrong(error, ailment):
    duty = Duty("dig")
    assert duty.ailment is None
    with duty.attempt():
        raise error
    assert duty.ailment == ailment


def test_an_outage_is_over_with_the_first_success_and_an_error_of_ours_is_not():
    outage, ours = Duty("dig"), Duty("sow")
    for duty, error in ((outage, OSError()), (ours, ValueError())):
        with duty.attempt():
            raise error
        with duty.attempt():
            pass

    assert outage.ailment is None
    assert ours.ailment == "cannot sow (ValueError)"


def test_an_attempt_that_takes_too_long_is_told():
    duty = Duty("dig", stalled_after_s=0.0)
    with duty.attempt():
        assert duty.ailment == "has tried to dig for 0 s"
    assert duty.ailment is None


async def test_what_has_more_to_do_does_not_wait():
    left = list(range(20))

    async def do():
        return bool(left.pop() if left else 0)

    async with kept_up(Duty("dig", 60.0), do), asyncio.timeout(10):
        while left:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0)


async def test_it_ends_when_it_is_canceled_even_where_a_library_swallows_that():
    async def do():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"

    async with kept_up(Duty("dig"), do) as task:
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()

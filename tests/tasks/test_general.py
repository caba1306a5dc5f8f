"""Test the general tasks through plain Celery calls.

They use the running installation if there is one, else a worker of their own:
python -m pytest tests/tasks/test_general.py::test_echo -s
"""

from __future__ import annotations

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError

from celeryql.errors import InvalidArguments
from tasks.general import echo, wait

SECRET = "correct horse battery staple"


@pytest.fixture
def worker(celery_workers):
    celery_workers("celery")


@pytest.mark.slow
def test_echo(worker):
    result = echo.delay("hi")

    assert result.get(timeout=10) == "hi"
    assert result.state == "SUCCESS"


@pytest.mark.slow
def test_echo_preserves_every_character(worker):
    text = "Grüße, 你好 😀 \x00 \r\n \u2028 \\ud800 {} %s"

    assert echo.delay(message=text).get(timeout=10) == text


@pytest.mark.slow
def test_wait_returns_the_seconds(worker):
    assert wait.delay(seconds=0.2).get(timeout=10) == 0.2


@pytest.mark.slow
def test_plain_celery_callers_see_the_progress_of_wait(worker):
    metas = []

    wait.delay(1).get(timeout=10, on_message=metas.append)

    reports = [meta["result"] for meta in metas if meta["status"] == "PROGRESS"]
    assert sorted({report["current"] for report in reports}) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert {"current": 5, "total": 10, "message": "waited 0.5 of 1 s"} in reports


@pytest.mark.slow
def test_an_impatient_caller_gets_the_timeout_of_celery(worker):
    result = wait.delay(0.4)

    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0.1)
    assert result.get(timeout=10) == 0.4


def test_a_task_called_directly_is_a_function():
    assert echo("hi") == "hi"
    assert wait(0) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (([SECRET],), "echo: message: Input should be a valid string"),
        ((SECRET * 400,), "echo: message: String should have at most 8192 characters"),
        ((SECRET, SECRET), "echo takes 1 argument, not 2"),
        ((), "echo: message: Field required"),
    ],
    ids=["wrong type", "too long", "too many", "none"],
)
def test_invalid_arguments_fail_the_task_without_quoting_values(worker, arguments, problem):
    result = echo.delay(*arguments)

    with pytest.raises(InvalidArguments) as caught:
        result.get(timeout=10)

    assert str(caught.value) == problem
    assert result.state == "FAILURE"
    assert SECRET not in result.traceback


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"seconds": -1}, "wait: seconds: Input should be greater than or equal to 0"),
        ({"seconds": 3601}, "wait: seconds: Input should be less than or equal to 3600"),
        ({"seconds": 0, "minutes": 1}, "wait: minutes: Extra inputs are not permitted"),
    ],
    ids=["too little", "too much", "unknown"],
)
def test_limits_also_apply_to_plain_celery_callers(worker, keywords, problem):
    result = wait.delay(**keywords)

    with pytest.raises(InvalidArguments) as caught:
        result.get(timeout=10)

    assert str(caught.value) == problem

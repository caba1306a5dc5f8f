"""Test the arithmetic tasks through plain Celery calls and canvases."""

from __future__ import annotations

import pytest
from celery import chain, chord, group

from celeryql.errors import InvalidArguments
from tasks.arithmetic import add, mul
from tasks.general import echo


@pytest.fixture
def worker(celery_workers):
    celery_workers("celery")


@pytest.mark.slow
def test_add(worker):
    assert add.delay(4, 5).get(timeout=10) == 9


@pytest.mark.slow
def test_arguments_can_be_passed_by_name(worker):
    assert mul.apply_async(kwargs={"y": 2.5, "x": 4}).get(timeout=10) == 10.0


def test_a_direct_call_returns_a_plain_value():
    assert (add(1, 2), mul(3, y=4)) == (3, 12)
    assert isinstance(add(1, 2), int)


@pytest.mark.slow
def test_a_single_positional_value_fills_the_missing_argument(worker):
    assert mul.apply_async((4,), {"x": 2.5}).get(timeout=10) == 10.0


@pytest.mark.slow
def test_a_plain_celery_chain_passes_results_on(worker):
    result = chain(add.s(4, 5), add.s(6), mul.s(7))()

    assert result.get(timeout=10) == 105
    assert (result.parent.get(timeout=10), result.parent.parent.get(timeout=10)) == (15, 9)


@pytest.mark.slow
def test_a_group_returns_results_in_order(worker):
    assert group(add.s(i, i) for i in range(5))().get(timeout=10) == [0, 2, 4, 6, 8]


@pytest.mark.slow
def test_a_chord_runs_its_body_after_its_header(worker):
    result = chord([add.s(1, 2), add.s(3, 4)])(echo.si("both added"))

    assert result.get(timeout=10) == "both added"
    assert result.parent.get(timeout=10) == [3, 7]


@pytest.mark.slow
def test_a_starmap_runs_in_one_message(worker):
    assert add.starmap([(1, 2), (3, 4)]).delay().get(timeout=10) == [3, 7]


@pytest.mark.slow
def test_a_failed_step_fails_the_chain(worker):
    result = chain(add.s(4, 5), add.s("a lot"), mul.s(7))()

    with pytest.raises(InvalidArguments, match=r"^add: y: Input should be a valid number"):
        result.get(timeout=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "keywords", "problem"),
    [
        (("a lot", 1), {}, "add: x: Input should be a valid number, unable to parse string"),
        ((1,), {}, "add: y: Field required"),
        ((1, 2), {"x": 3}, "add: x given twice"),
        ((float("inf"), 1), {}, "add: x: Input should be a finite number"),
        ((1, 2, 3), {}, "add takes 2 arguments, not 3"),
    ],
    ids=["text", "too few", "twice", "infinite", "too many"],
)
def test_invalid_arguments_fail_with_one_sentence(worker, arguments, keywords, problem):
    result = add.apply_async(arguments, keywords)

    with pytest.raises(InvalidArguments) as caught:
        result.get(timeout=10)

    assert str(caught.value).startswith(problem)
    assert "a lot" not in str(caught.value)

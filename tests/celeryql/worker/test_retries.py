"""The pause before a retry, and the number of retries."""

from __future__ import annotations

import pytest
from celery.app.task import Context

from celeryql.worker.result_backend import Attempt
from celeryql.worker.retries import back_off_s, max_retries


@pytest.mark.parametrize(
    ("retries", "limit_s"), [(0, 1), (1, 2), (2, 4), (9, 512), (10, 600), (1_000, 600)]
)
def test_pauses_are_random_below_a_limit_that_doubles_up_to_ten_minutes(retries, limit_s):
    pauses_s = [back_off_s(retries) for _ in range(1_000)]

    assert 0 <= min(pauses_s) < limit_s / 10
    assert limit_s * 0.9 < max(pauses_s) <= limit_s


@pytest.mark.parametrize(
    ("attempt", "retries", "replaced", "expected"),
    [
        (Attempt(1, None), 0, None, 99),  # without a limit of its own
        (Attempt(1, 10), 0, None, 9),
        (Attempt(3, 10), 2, None, 9),
        (Attempt(2, 4), 0, None, 2),  # one run was lost with its worker
        (Attempt(3, 4), 0, 2, 3),  # the task has replaced itself twice
    ],
)
def test_lost_runs_count_as_attempts_and_replacements_do_not(attempt, retries, replaced, expected):
    request = Context({"attempt": attempt, "retries": retries, "replaced_task_nesting": replaced})

    assert max_retries(request) == expected

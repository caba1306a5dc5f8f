"""The class of all tasks."""

from __future__ import annotations

from tasks.arithmetic import add


def test_a_task_called_directly_is_the_plain_function():
    assert add(1, 2) == 3

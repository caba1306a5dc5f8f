"""Claims: what a task has begun in the world outside, remembered across its runs."""

from __future__ import annotations

from typing import Any

from celery import Task

from celeryql.records import KEY
from celeryql.settings import load_settings


class Claim:
    """A note in Redis that a task is about to do what cannot be taken back.

    Found by a later run of the same task, it tells that an earlier one may have done it. It is kept
    for as long as a finished task is. Of a task that is called directly there is none.
    """

    def __init__(self, task: Task) -> None:
        self._key = task.request.id and f"{KEY}claim:{task.request.id}"
        self._backend = task.backend

    def is_taken(self) -> bool:
        """Tell whether a run took it and did not give it back."""
        return bool(self._ask("exists"))

    def take(self) -> None:
        """Note that it is about to be done."""
        self._ask("set", 1, ex=load_settings().result_expires)

    def give_back(self) -> None:
        """Note that it was certainly not done."""
        self._ask("delete")

    def _ask(self, command: str, *args: Any, **options: Any) -> Any:
        if not self._key:
            return None
        do = getattr(self._backend.client, command)
        return self._backend.retry_outages(do, self._key, *args, **options)

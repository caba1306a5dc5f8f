"""Claims: a task remembers across its runs that it has started a side effect."""

from __future__ import annotations

from typing import Any

from celery import Task

from celeryql.records import KEY
from celeryql.settings import load_settings


class Claim:
    """A note in Redis that a task is about to do something that cannot be undone.

    A later run of the same task that finds the note knows that an earlier run may have done it. The
    note is kept as long as a finished task. A task that is called directly has no claim.
    """

    def __init__(self, task: Task) -> None:
        self._key = task.request.id and f"{KEY}claim:{task.request.id}"
        self._backend = task.backend

    def is_taken(self) -> bool:
        """Return whether a run has taken the claim and not released it."""
        return bool(self._call("exists"))

    def take(self) -> None:
        """Note that the side effect is about to start."""
        self._call("set", 1, ex=load_settings().result_expires)

    def give_back(self) -> None:
        """Release the claim, because the side effect has certainly not happened."""
        self._call("delete")

    def _call(self, command: str, *args: Any, **options: Any) -> Any:
        if not self._key:
            return None
        do = getattr(self._backend.client, command)
        return self._backend.retry_outages(do, self._key, *args, **options)

"""The worker's side of one run: what becomes of its lease when it is given up."""

from __future__ import annotations

from typing import Any

from celery.exceptions import WorkerTerminate
from celery.worker import request


class Request(request.Request):
    """A message that a worker is about to run."""

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  # Celery's signature
        """Give the message up; requeued, because its process was lost, another run may begin."""
        if requeue:
            self.task.backend.leases.end(self.hostname, [self.id])
        super().reject(requeue)

    def cancel(self, pool: Any, *args: Any, **kwargs: Any) -> None:
        """Stop it, because its worker stops; where it runs in the worker's own process, with that.

        Raises:
            WorkerTerminate: it runs in this process.
        """
        try:
            super().cancel(pool, *args, **kwargs)
        except NotImplementedError:
            raise WorkerTerminate(1) from None

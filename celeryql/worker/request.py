"""The worker's side of one run: whether it may begin, and what becomes of its lease."""

from __future__ import annotations

from typing import Any

from celery.exceptions import WorkerTerminate
from celery.worker import request, state


class Request(request.Request):
    """A message that a worker is about to run."""

    def maybe_expire(self) -> bool:
        """Tell whether it came too late, by the clock of Redis and not by this host's."""
        is_late = self.expires is not None and self.message.now() > self.expires
        if is_late:
            state.revoked.add(self.id)
        return is_late

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

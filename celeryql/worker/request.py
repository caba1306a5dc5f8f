"""A message that a worker has received: when it expires, and what happens if it cannot run."""

from __future__ import annotations

from typing import Any

from celery.exceptions import WorkerTerminate
from celery.worker import request, state


class Request(request.Request):
    """Celery's request, by the clock of Redis and with a lease."""

    def maybe_expire(self) -> bool:
        """Revoke the task if it has expired by the clock of Redis, not by this host's."""
        is_late = self.expires is not None and self.message.now() > self.expires
        if is_late:
            state.revoked.add(self.id)
        return is_late

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  # Celery's signature
        """Reject the message; if it is requeued after a lost pool process, end its lease."""
        if requeue:
            self.task.backend.leases.end(self.hostname, [self.id])
        super().reject(requeue)

    def cancel(self, pool: Any, *args: Any, **kwargs: Any) -> None:
        """Stop the run because its worker stops.

        Raises:
            WorkerTerminate: it runs in the worker's own process, which ends with it.
        """
        try:
            super().cancel(pool, *args, **kwargs)
        except NotImplementedError:
            raise WorkerTerminate(1) from None

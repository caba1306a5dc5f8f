"""Jobs that a process repeats beside its requests: failures are logged, reported and retried."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from redis.exceptions import ResponseError

from celeryql.errors import REDIS_ANSWERS_WITH_AN_ERROR, REDIS_DOES_NOT_ANSWER
from celeryql.outages import is_outage, refuses_writes

_FIRST_PAUSE_S = 0.1  # after a failure; doubles with each further failure, up to the longest pause
_LONGEST_PAUSE_S = 0.5  # short, because an attempt costs one round trip and outages end suddenly
_STALLED_AFTER_S = 10.0  # longer than the timeouts of all that one attempt asks of Redis
# An error that is no outage counts as solved after this long without another one. One success is
# not enough: of the processes that sweep, for example, most attempts find the lock taken.
_SETTLED_S = 10.0

logger = logging.getLogger(__name__)


class PeriodicJob:
    """When a job is due again, and what is wrong with it."""

    def __init__(
        self, name: str, every_s: float = 0.0, *, stalled_after_s: float = _STALLED_AFTER_S
    ) -> None:
        """Start without a problem.

        Args:
            name: what the job does, as it reads after "cannot".
            every_s: the pause after an attempt that succeeded.
            stalled_after_s: an attempt that takes longer is reported as a problem.
        """
        self._name, self._every_s, self._stalled_after_s = name, every_s, stalled_after_s
        self._error: BaseException | None = None  # the last error, until it is solved
        self._failed_at = 0.0
        self._back_off_s = 0.0
        self._began_at: float | None = None  # start of the current attempt

    @property
    def pause_s(self) -> float:
        """How long to wait before the next attempt."""
        return max(self._every_s, self._back_off_s)

    @property
    def problem(self) -> str | None:
        """What is wrong, in a few words; None if nothing is, or if Redis refuses writes."""
        now = time.monotonic()
        if (took_s := now - (self._began_at or now)) > self._stalled_after_s:
            return f"has tried to {self._name} for {took_s:.0f} s"
        if self._error is None:
            return None
        if not is_outage(self._error):
            is_from_redis = isinstance(self._error, ResponseError)
            why = REDIS_ANSWERS_WITH_AN_ERROR if is_from_redis else type(self._error).__name__
            return f"cannot {self._name} ({why})"
        return None if refuses_writes(self._error) else REDIS_DOES_NOT_ANSWER

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Run one attempt as the body of a `with` block; an Exception is logged and suppressed."""
        self._began_at = time.monotonic()
        try:
            yield
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            self._note_failure(error)  # something that the attempt awaited was canceled
        except Exception as error:  # noqa: BLE001  # it is logged
            self._note_failure(error)
        else:
            self._note_success()
        finally:
            self._began_at = None

    async def run_until_canceled(self, do: Callable[[], Awaitable[object]]) -> None:
        """Repeat the job until the current asyncio task is canceled.

        Args:
            do: makes one attempt; returns a true value if there is more to do at once.
        """
        this = asyncio.current_task()
        # Checked each time, because redis-py 8.1 can swallow a cancellation while it connects.
        while this and not this.cancelling():
            has_more: object = False
            with self.attempt():
                has_more = await do()
            if not has_more:
                await asyncio.sleep(self.pause_s)

    def _note_failure(self, error: BaseException) -> None:
        if type(error) is not type(self._error):  # otherwise it has been logged
            traceback = None if is_outage(error) else error
            why = str(error) or repr(error)
            logger.error("Cannot %s: %s", self._name, why, exc_info=traceback)
        self._error = error
        self._back_off_s = min(2 * self._back_off_s or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._failed_at = time.monotonic()

    def _note_success(self) -> None:
        self._back_off_s = 0.0
        if self._error is None:
            return
        if is_outage(self._error) or time.monotonic() - self._failed_at > _SETTLED_S:
            logger.warning("Can %s again", self._name)
            self._error = None

"""What a process does again and again beside its requests: no failure ends it or goes unsaid."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from redis.exceptions import ResponseError

from celeryql.outages import is_outage, takes_no_writes
from celeryql.worker.health import ERROR_ANSWER, NO_ANSWER

_FIRST_PAUSE_S = 0.1  # after a failure; doubles up to the longest
_LONGEST_PAUSE_S = 0.5  # so all goes on at once after an outage; an attempt costs a round trip
_STALLED_AFTER_S = 10.0  # above the timeouts of what is asked of Redis in one attempt
# Errors of ours count as over after this long without another. Of the processes that sweep, for
# one, each gets its turn now and then, and has nothing to fail at in between.
_SETTLED_S = 10.0

logger = logging.getLogger(__name__)


class Duty:
    """One such thing: when it is due again, and what is wrong with it."""

    def __init__(
        self, name: str, every_s: float = 0.0, *, stalled_after_s: float = _STALLED_AFTER_S
    ) -> None:
        """Begin well.

        Args:
            name: what is done, as it follows "cannot".
            every_s: how long to wait between two attempts that succeed.
            stalled_after_s: above the time that one attempt takes.
        """
        self._name, self._every_s, self._stalled_after_s = name, every_s, stalled_after_s
        self._error: BaseException | None = None  # the last; None once it is over
        self._failed_at = 0.0
        self._back_off_s = 0.0  # after a failure
        self._began_at: float | None = None  # the attempt that goes on

    @property
    def pause_s(self) -> float:
        """How long to wait before the next attempt."""
        return max(self._every_s, self._back_off_s)

    @property
    def ailment(self) -> str | None:
        """What is wrong in a few words; None where nothing is, or Redis takes no writes."""
        now = time.monotonic()
        if (took_s := now - (self._began_at or now)) > self._stalled_after_s:
            return f"has tried to {self._name} for {took_s:.0f} s"
        if self._error is None:
            return None
        if not is_outage(self._error):
            is_of_redis = isinstance(self._error, ResponseError)
            why = ERROR_ANSWER if is_of_redis else type(self._error).__name__
            return f"cannot {self._name} ({why})"
        return None if takes_no_writes(self._error) else NO_ANSWER

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Note how what is done in a block ends; no Exception leaves it."""
        self._began_at = time.monotonic()
        try:
            yield
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            self._note_failure(error)  # something else was canceled, which this waited for
        except Exception as error:  # noqa: BLE001  # it is logged
            self._note_failure(error)
        else:
            self._note_success()
        finally:
            self._began_at = None

    async def keep_up(self, do: Callable[[], Awaitable[object]]) -> None:
        """Attempt it until this asyncio task is canceled.

        Args:
            do: one attempt; what it returns is true where there is more to do at once.
        """
        this = asyncio.current_task()
        # Asked each time, because redis-py 8.1 can swallow a cancellation while it connects.
        while this and not this.cancelling():
            has_more: object = False
            with self.attempt():
                has_more = await do()
            if not has_more:
                await asyncio.sleep(self.pause_s)

    def _note_failure(self, error: BaseException) -> None:
        if type(error) is not type(self._error):  # else it was logged
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

"""Fair use of the event loop: operations with much work yield it to the others."""

from __future__ import annotations

import asyncio
import time

# A request returns to the event loop about five times, and may wait this long each time.
_SLICE_S = 0.005


class FairScheduler:
    """Lets the busy operations of one process take turns on the event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._slice_began = 0.0

    async def yield_if_busy(self) -> None:
        """Let other operations run, if the current time slice is over."""
        if time.monotonic() - self._slice_began > _SLICE_S:
            await self._yield()

    async def _yield(self) -> None:
        # The lock lets the busy operations run one after another, each for a time slice.
        async with self._lock:
            await asyncio.sleep(0)
            self._slice_began = time.monotonic()

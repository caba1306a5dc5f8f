"""Turns on the event loop: long work is done in parts, and between two of them others go on."""

from __future__ import annotations

import asyncio
import time

_TURN_S = 0.005  # a request comes back to the loop some five times, and waits so long each time


class Turns:
    """The turns of one process, whose operations that have long work take one after the other."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._began = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is time to let others go on."""
        return time.monotonic() - self._began > _TURN_S

    async def next(self) -> None:
        """Let others go on, until it is this caller's turn."""
        async with self._lock:
            await asyncio.sleep(0)
            self._began = time.monotonic()

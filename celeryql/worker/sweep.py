"""The sweep: sends messages that are due or were lost, and ends tasks that have expired.

Every worker and every API process sweeps twice a second. A lock in Redis lets one of them through.
"""

from __future__ import annotations

import redis
from redis import asyncio as aioredis

from celeryql.lua_functions import SWEEP_PAUSE_S, call, call_async, encode_request
from celeryql.periodic_jobs import PeriodicJob
from celeryql.settings import Settings


class Sweeper:
    """Sweeps in a thread of a worker."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._request = encode_request(settings)

    def sweep(self) -> None:
        """Sweep until nothing is left to do now."""
        while call(self._client, "sweep", self._request):
            pass


class AsyncSweeper:
    """Sweeps in an API process."""

    def __init__(self, client: aioredis.Redis, settings: Settings) -> None:
        self._client = client
        self._request = encode_request(settings)
        self.job = PeriodicJob("sweep", SWEEP_PAUSE_S)

    async def run(self) -> None:
        """Sweep until this asyncio task is canceled."""
        await self.job.run_until_canceled(lambda: call_async(self._client, "sweep", self._request))

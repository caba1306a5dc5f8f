"""The sweep: twice a second, whichever process is first sends what is due and ends what is late."""

from __future__ import annotations

import redis
from redis import asyncio as aioredis

from celeryql.periodic_jobs import PeriodicJob
from celeryql.scripts import SWEEP_PAUSE_S, request, source
from celeryql.settings import Settings


class Sweeper:
    """Sweeps from a thread of a worker."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._script = client.register_script(source("sweep"))
        self._asked = request(settings)

    def sweep(self) -> None:
        """Do what is to be done now, however much it is."""
        while self._script(args=[self._asked]):
            pass


class AsyncSweeper:
    """Sweeps from an API process."""

    def __init__(self, client: aioredis.Redis, settings: Settings) -> None:
        self._script = client.register_script(source("sweep"))
        self._asked = request(settings)
        self.job = PeriodicJob("sweep", SWEEP_PAUSE_S)

    async def run(self) -> None:
        """Sweep until the end of the process."""
        await self.job.run_until_canceled(lambda: self._script(args=[self._asked]))

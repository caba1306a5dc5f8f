"""The sweep: twice a second, whichever process is first sends what is due and ends what is late."""

from __future__ import annotations

import asyncio
import logging

import redis
from redis import asyncio as aioredis

from tasks.engine.outages import OUTAGES, is_outage
from tasks.engine.scripts import SWEEP_PAUSE_S, request, source
from tasks.engine.settings import Settings

logger = logging.getLogger(__name__)


class Sweeper:
    """Sweeps from a thread of a worker."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._script = client.register_script(source("sweep"))
        self._asked = request(settings)

    def sweep(self) -> None:
        """Do what is to be done now, however much it is."""
        while self._script(args=[self._asked]):
            pass


async def sweep_for_ever(client: aioredis.Redis, settings: Settings) -> None:
    """Sweep from an API process, for as long as it lives."""
    script, asked = client.register_script(source("sweep")), request(settings)
    while True:
        try:
            while await script(args=[asked]):
                pass
        except OUTAGES as error:
            if not is_outage(error):  # one passes, a bug of the script does not
                logger.exception("The sweep failed")
        await asyncio.sleep(SWEEP_PAUSE_S)

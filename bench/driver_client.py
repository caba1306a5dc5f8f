"""Run a `bench.driver` in its own process, as a worker would be, and send it commands."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.stage import Stage


@dataclass(frozen=True)
class DriverClient:
    """Sends commands to a driver."""

    process: asyncio.subprocess.Process

    async def call(self, name: str, *arguments: Any) -> Any:
        """Send a command and return the answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([name, *arguments]).encode() + b"\n")
        return json.loads(await self.process.stdout.readline())


@asynccontextmanager
async def running_driver(stage: Stage, app: str) -> AsyncIterator[DriverClient]:
    """Run a driver for our app (`ours`) or for the `stock` app."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.driver", app),
        env=os.environ | stage.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield DriverClient(process)
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()

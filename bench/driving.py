"""Orders to a `bench.driver`, which is a process of its own, as a worker would be."""

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
class Driving:
    """A driver that takes orders."""

    process: asyncio.subprocess.Process

    async def order(self, name: str, *arguments: Any) -> Any:
        """Have something done, and give what is answered."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([name, *arguments]).encode() + b"\n")
        return json.loads(await self.process.stdout.readline())


@asynccontextmanager
async def driving(stage: Stage, app: str) -> AsyncIterator[Driving]:
    """Run a driver of our app (`ours`) or of the `stock` one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.driver", app),
        env=os.environ | stage.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield Driving(process)
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()

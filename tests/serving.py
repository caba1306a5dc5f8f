"""An API in the test's own process, whose memory the test can look into."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from uvicorn import Config, Server

from graphql_api.app import create_app
from graphql_api.server import options
from tasks.engine.embedded import reserve_port
from tasks.engine.settings import Settings
from tasks.engine.watcher import Watcher
from tests.client import Client


@asynccontextmanager
async def serving(settings: Settings, **changed: Any) -> AsyncIterator[Client]:
    """Run an API with the options of uvicorn that it always has, but for those that are changed."""
    port = reserve_port()
    config = Config(create_app(settings), port=port, **options(settings) | changed)
    config.log_level = "warning"
    server = Server(config)
    running = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        yield Client(f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        await running


def watchers() -> int:
    """Count the subscribers that this process keeps events for."""
    gc.collect()  # what only waits to be collected is not kept
    return sum(type(found) is Watcher for found in gc.get_objects())


async def until(condition: Callable[[], Any], deadline_s: float = 10) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110  # neither Redis, uvicorn nor gc has an event for it
            await asyncio.sleep(0.01)

"""An API in the test's own process, so that the test can inspect its memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from uvicorn import Config, Server

from celeryql.settings import Settings
from graphql_api.app import create_app
from graphql_api.local.redis_server import reserve_port
from graphql_api.server import options
from tests.client import Client
from tests.processes import DEADLINE_S

METRICS_TOKEN = "of-prometheus"  # required by an API on a public host


@asynccontextmanager
async def serving(settings: Settings, **changed: Any) -> AsyncIterator[Client]:
    """Run an API with its usual uvicorn options, except the changed ones."""
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


async def live_subscriptions(client: Client) -> int:
    """Return the number of open subscriptions."""
    async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
        headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
        metrics = (await http.get(f"{client.url}/metrics", headers=headers)).text
    (found,) = re.findall(r"^celeryql_live_subscriptions (\d+)", metrics, re.MULTILINE)
    return int(found)


async def until_live(client: Client, count: int, deadline_s: float = DEADLINE_S) -> None:
    """Wait until this many subscriptions are open."""
    async with asyncio.timeout(deadline_s):
        while await live_subscriptions(client) != count:  # noqa: ASYNC110  # only polling shows it
            await asyncio.sleep(0.01)


async def until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110  # Redis and uvicorn have no event
            await asyncio.sleep(0.01)

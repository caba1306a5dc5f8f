"""A worker that lives but takes no more messages is seen: by health checks, and in `workers`."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from celery import Celery

from tasks.engine.records import DEAF_AFTER_S, OFFLINE_AFTER_S
from tasks.engine.settings import PROJECT_ROOT
from tests.faults.conftest import begun
from tests.processes import wait_until

pytestmark = pytest.mark.slow

NODE = f"a@{socket.gethostname()}"


def health(site):
    """Ask as a container's health check does, and give the exit code and what is said."""
    checked = subprocess.run(
        [sys.executable, "-m", "tasks.engine.health", NODE],
        cwd=PROJECT_ROOT,
        env={"REDIS_URL": site.server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    return checked.returncode, checked.stderr.strip()


async def online(site):
    data = await site.client.execute("{ workers { name online } }")
    return {worker["name"]: worker["online"] for worker in data["workers"]}[NODE]


async def test_a_worker_that_is_busy_is_not_ill(site):
    site.run_worker("a", "solo")  # whose loop stands still while a task runs
    await site.work(["k"], seconds=DEAF_AFTER_S + 5)
    begun(site, 1)
    assert await site.all_end(60) == {"SUCCEEDED": 1}  # all the while it took no message
    assert health(site) == (0, "")
    assert await online(site)


async def test_a_worker_whose_loop_hangs_is_ill(site):
    worker = site.run_worker("a", "prefork")
    wait_until(lambda: health(site) == (0, ""), "healthy")

    with Celery(broker=site.server.url, set_as_current=False) as anyone:
        anyone.control.broadcast("hang")
    wait_until(lambda: health(site)[0] == 1, "ill", DEAF_AFTER_S + 10)

    assert worker.is_alive()
    assert "has not asked for messages" in health(site)[1]
    assert not await online(site)


async def test_a_frozen_worker_is_ill_and_one_that_redis_cannot_tell_of_is_not(site):
    worker = site.run_worker("a", "solo")
    wait_until(lambda: health(site) == (0, ""), "healthy")
    worker.freeze()
    wait_until(lambda: health(site)[0] == 1, "ill", OFFLINE_AFTER_S + 5)
    assert "has not been heard of" in health(site)[1]
    assert not await online(site)

    site.server.kill()
    assert health(site) == (0, "")
    site.server.start()

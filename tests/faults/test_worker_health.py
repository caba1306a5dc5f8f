"""Test that health checks and the query `workers` detect workers that no longer consume."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest
from celery import Celery

from celeryql.settings import PROJECT_ROOT
from celeryql.worker.health import DEAF_AFTER_S, OFFLINE_AFTER_S
from tests.faults.site import wait_for_runs
from tests.processes import running, wait_until

pytestmark = pytest.mark.slow

NODE = f"a@{socket.gethostname()}"


def health(site):
    """Run the health check of a container, and return its exit code and message."""
    checked = subprocess.run(
        [sys.executable, "-m", "celeryql.worker.health", NODE],
        cwd=PROJECT_ROOT,
        env={"REDIS_URL": site.server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    return checked.returncode, checked.stderr.strip()


def seen_at(site):
    """Return when the worker sent its last heartbeat, as a Unix timestamp."""
    return int(site.redis.hget(f"celeryql:worker:{NODE}", "seen_at")) / 1_000


async def online(site):
    data = await site.client.execute("{ workers { name online } }")
    return {worker["name"]: worker["online"] for worker in data["workers"]}[NODE]


async def test_a_busy_worker_is_healthy(site):
    site.run_worker("a", "solo")  # a task blocks the loop of this pool
    await site.work(["k"], seconds=DEAF_AFTER_S + 5)
    wait_for_runs(site, 1)
    assert await site.all_end() == {"SUCCEEDED": 1}  # meanwhile it took no message
    assert health(site) == (0, "")
    assert await online(site)


async def test_a_worker_with_a_blocked_event_loop_is_unhealthy(site):
    worker = site.run_worker("a", "prefork")
    wait_until(lambda: health(site) == (0, ""), "healthy")

    with Celery(broker=site.server.url, set_as_current=False) as plain_celery:
        plain_celery.control.broadcast("hang")
    wait_until(lambda: health(site)[0] == 1, "unhealthy", DEAF_AFTER_S + 10)

    assert worker.is_alive()
    assert "has not polled its queues" in health(site)[1]
    assert not await online(site)


async def test_a_frozen_worker_is_unhealthy_but_an_outage_of_redis_is_no_fault_of_workers(site):
    worker = site.run_worker("a", "solo")
    wait_until(lambda: health(site) == (0, ""), "healthy")
    worker.freeze()
    wait_until(lambda: health(site)[0] == 1, "unhealthy", OFFLINE_AFTER_S + 5)
    assert "has sent no heartbeat" in health(site)[1]
    assert not await online(site)

    site.server.kill()
    assert health(site) == (0, "")
    site.server.start()


def break_heartbeat(site, error):
    """Raise an exception in the heartbeat thread of the workers."""
    with Celery(broker=site.server.url, set_as_current=False) as plain_celery:
        plain_celery.control.broadcast("break_heartbeat", arguments={"error": error})


async def test_the_heartbeat_continues_after_an_exception(site):
    worker = site.run_worker("a", "prefork")
    wait_until(lambda: health(site) == (0, ""), "healthy")

    break_heartbeat(site, "RuntimeError")
    wait_until(lambda: "Cannot run the heartbeat" in worker.log.read_text(), "logged")
    began = time.time()
    wait_until(lambda: seen_at(site) > began, "another heartbeat", 5)

    assert worker.log.read_text().count("Traceback") == 1
    assert health(site) == (0, "")


async def test_a_worker_whose_heartbeat_thread_ended_is_unhealthy(site):
    worker = site.run_worker("a", "prefork")
    wait_until(lambda: health(site) == (0, ""), "healthy")

    break_heartbeat(site, "SystemExit")  # ends a thread without a message
    wait_until(lambda: health(site)[0] == 1, "unhealthy", OFFLINE_AFTER_S + 5)

    assert worker.is_alive()
    assert "has sent no heartbeat" in health(site)[1]
    assert not await online(site)


async def test_a_worker_that_cannot_renew_its_leases_is_unhealthy(site):
    worker = site.run_worker("a", "solo")
    await site.work(["k"], seconds=5)
    wait_for_runs(site, 1)
    site.redis.set("unacked_index", "no sorted set")  # the key that renewals write to
    wait_until(lambda: "Cannot renew its leases" in worker.log.read_text(), "logged")
    unhealthy = wait_until(lambda: health(site) if health(site)[0] else None, "unhealthy")
    site.redis.delete("unacked_index")

    assert unhealthy == (1, f"{NODE} cannot renew its leases (Redis answers with an error)")
    wait_until(lambda: health(site) == (0, ""), "healthy")


async def test_a_worker_is_not_ready_before_its_first_heartbeat(site):
    site.redis.set(f"celeryql:worker:{NODE}", "a string, so that heartbeats fail")
    await site.work(["k"], seconds=0)
    log = site.folder / "worker.log"
    argv = ["celery", "-A", "tasks", "worker", "-Q", "celery", "-n", "a@%h", "-P", "solo"]
    with running([*argv, "--loglevel", "INFO"], site.settings, log, project=site.project):
        wait_until(lambda: "Cannot write the heartbeat" in log.read_text(), "logged")
        wait_until(lambda: "Connected to " in log.read_text(), "connected")
        assert health(site) == (1, f"{NODE} wrote a heartbeat that cannot be read")
        assert " ready." not in log.read_text()
        assert site.server.messages() == 1

        site.redis.delete(f"celeryql:worker:{NODE}")
        wait_until(lambda: " ready." in log.read_text(), "ready")
        assert await site.all_end() == {"SUCCEEDED": 1}


async def test_a_worker_that_waits_for_its_first_heartbeat_can_be_stopped(site):
    site.redis.set(f"celeryql:worker:{NODE}", "a string, so that heartbeats fail")
    log = site.folder / "worker.log"
    argv = ["celery", "-A", "tasks", "worker", "-Q", "celery", "-n", "a@%h", "-P", "prefork"]
    with running(
        [*argv, "--loglevel", "INFO"], site.settings, log, project=site.project
    ) as process:
        wait_until(lambda: "Connected to " in log.read_text(), "connected")
        process.terminate()
        assert process.wait(10) == 0

"""Test the guarantees in the other pools of Celery; `test_workers.py` tests prefork and solo."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.faults.site import wait_for_runs
from tests.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("pool", ["threads", "gevent", "eventlet"])]

CANCEL = (
    "mutation($id: ID!) { cancelTask(id: $id, terminate: true) {"
    " ... on CancelTaskSuccess { canceled stillRunning { id } } } }"
)


async def test_another_worker_takes_over_from_a_killed_one(site, pool):
    first = site.run_worker("a", pool)
    site.run_worker("b", pool)
    await site.work([f"k{n}" for n in range(4)], seconds=1.5)
    wait_for_runs(site, 2)
    ran = {run.key for run in site.ledger.runs() if run.pid == first.process.pid}
    first.kill()
    killed_at = time.time()

    assert await site.all_end() == {"SUCCEEDED": 4}
    again = {key for key, count in site.ledger.counts().items() if count == 2}
    assert ran <= again
    assert max(site.ledger.counts().values()) <= 2
    assert time.time() - killed_at < 15
    assert site.messages_left() == {}


async def test_a_task_longer_than_the_visibility_timeout_runs_once(site, pool):
    site.run_worker("a", pool)
    site.run_worker("b", pool)
    await site.work(["k0", "k1"], seconds=5)

    assert await site.all_end() == {"SUCCEEDED": 2}
    assert set(site.ledger.counts().values()) == {1}
    assert site.messages_left() == {}


async def test_a_worker_retries_tasks_and_continues_after_an_outage(site, pool):
    worker = site.run_worker("a", pool)
    await site.enqueue("busy", key="k")
    assert await site.all_end() == {"SUCCEEDED": 1}
    assert site.ledger.counts() == {"k": 2}

    site.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await site.work(["next"], seconds=0)
    wait_until(lambda: site.ledger.counts("end")["next"], "it consumes messages again")
    assert worker.is_alive()


async def test_a_run_that_cannot_be_terminated_is_reported_as_still_running(site, pool):
    site.run_worker("a", pool)
    (task_id,) = (await site.work(["k"], seconds=3)).values()
    wait_for_runs(site, 1)

    answer = (await site.client.execute(CANCEL, id=task_id))["cancelTask"]

    assert answer == {"canceled": 0, "stillRunning": [{"id": task_id}]}
    assert await site.all_end() == {"SUCCEEDED": 1}
    assert site.messages_left() == {}


async def test_a_warm_shutdown_finishes_running_tasks(site, pool):
    worker = site.run_worker("a", pool)
    await site.work([f"k{n}" for n in range(4)], seconds=1.5)
    wait_for_runs(site, 1)
    os.kill(worker.process.pid, signal.SIGTERM)
    worker.process.wait(15)
    assert set(site.states()) == {"SUCCEEDED", "QUEUED"}

    site.run_worker("b", pool)
    assert await site.all_end() == {"SUCCEEDED": 4}
    assert set(site.ledger.counts().values()) == {1}
    assert site.messages_left() == {}

"""Test that wrong clocks of hosts do not matter: the clock of Redis decides when tasks are due."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
from celery import Celery

from tests.processes import DEADLINE_S, wait_until

IS_BUILT = sys.platform == "linux" and platform.machine() == "x86_64"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_BUILT, reason="libfaketime's package is built for Linux on x86_64"),
]

PUBLISH = """
import sys
from tasks import app
from tasks.kitchen import work
ledger = sys.argv[1]
app.set_default()
work.apply_async((ledger, "countdown", 0), countdown=2)
work.apply_async((ledger, "expires", 0), expires=60)
work.apply_async((ledger, "late", 0), countdown=2, expires=1, task_id="late")
"""


def wrong_clock(ahead_s: int) -> dict[str, str]:
    """Return environment variables that shift the clock of a process by a number of seconds."""
    spec = find_spec("libfaketime")
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    assert library.exists()
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{ahead_s:+d}",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def publish(site, ahead_s: int) -> None:
    subprocess.run(
        [sys.executable, "-c", PUBLISH, str(site.ledger.path)],
        cwd=site.project,
        env=os.environ | site.settings | wrong_clock(ahead_s),
        timeout=DEADLINE_S,
        check=True,
    )


def ended(site) -> None:
    """Wait until the punctual tasks have run, and check that the late one has expired."""
    expected = {"SUCCEEDED": 2, "EXPIRED": 1}
    wait_until(lambda: site.states() == expected, "two have run and one has expired")
    assert site.redis.hget("celeryql:task:late", "state") == "EXPIRED"
    assert site.ledger.counts() == {"countdown": 1, "expires": 1}


@pytest.mark.parametrize("ahead_s", [600, -600])
async def test_a_worker_with_a_wrong_clock_retries_on_time(site, ahead_s):
    site.run_worker("a", **wrong_clock(ahead_s))
    await site.enqueue("busy", key="k")

    assert await site.all_end() == {"SUCCEEDED": 1}
    first, again = (site.redis.xrange("celeryql:events")[i][0] for i in (1, 3))
    paused_ms = int(again.split("-")[0]) - int(first.split("-")[0])
    assert 2_000 <= paused_ms < 5_000


@pytest.mark.parametrize("ahead_s", [600, -600])
def test_a_worker_with_a_wrong_clock_respects_countdown_and_expires(site, ahead_s):
    publish(site, 0)
    site.run_worker("a", **wrong_clock(ahead_s))

    ended(site)


@pytest.mark.parametrize("ahead_s", [600, -600])
def test_countdown_and_expires_of_a_caller_with_a_wrong_clock_work(site, ahead_s):
    site.run_worker("a")
    publish(site, ahead_s)
    published_at = time.time()

    ended(site)
    (run,) = [run for run in site.ledger.runs() if run.key == "countdown"]
    assert run.at - published_at < 5


@pytest.mark.parametrize("ahead_s", [600, -600])
async def test_a_worker_with_a_wrong_clock_runs_tasks_with_an_eta_on_time(site, ahead_s):
    site.run_worker("a", **wrong_clock(ahead_s))
    due_at = time.time() + 3
    with Celery(broker=site.server.url, set_as_current=False) as plain_celery:
        given = (str(site.ledger.path), "k", 0)
        eta = datetime.fromtimestamp(due_at, UTC)
        plain_celery.send_task("tasks.kitchen.work", given, task_id="theirs", eta=eta)

    wait_until(lambda: site.states() == {"SUCCEEDED": 1}, "it has run")
    began_at = int(site.redis.hget("celeryql:task:theirs", "started_at")) / 1_000
    assert -0.01 < began_at - due_at < 3

"""Test killed, frozen and stopped workers: accepted tasks run, and only started ones run again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from tests.faults.extent import WHOLE, show_figure
from tests.faults.flood import Flood
from tests.faults.site import wait_for_runs
from tests.processes import DEADLINE_S

pytestmark = pytest.mark.slow

VISIBILITY_TIMEOUT_S = 2
TASK_S = 0.05
KILLS = 25 if WHOLE else 4
TAKEN_OVER_S = 2 * VISIBILITY_TIMEOUT_S + 1  # not counting the time without a worker


def runs_of(site, key):
    return [run for run in site.ledger.runs() if run.key == key]


@dataclass(frozen=True)
class Kill:
    """All workers killed at the same time, and how long none of them was ready again."""

    began_at: float
    ended_at: float
    ready_at: float

    def down_s(self, since, until):
        """Return how long no worker was ready between two times."""
        return max(0.0, min(self.ready_at, until) - max(self.ended_at, since))


async def kill_all(workers):
    """Kill all workers and start them again."""
    began_at = time.time()
    for worker in workers:
        worker.kill()
    ended_at = time.time()
    await asyncio.gather(*[asyncio.to_thread(worker.start) for worker in workers])
    return Kill(began_at, ended_at, time.time())


@pytest.mark.parametrize("pool", ["prefork", "solo"])
async def test_a_task_of_a_killed_worker_runs_again(site, pool):
    first = site.run_worker("a", pool)
    task_id = await site.enqueue("work", key="k", seconds=1.5)
    wait_for_runs(site, 1)
    first.kill()

    site.run_worker("b", pool)
    ready_at = time.time()
    await site.all_end()

    again = runs_of(site, "k")[1:]
    assert [run.at - ready_at < 2 * VISIBILITY_TIMEOUT_S for run in again] == [True]
    assert site.redis.hmget(f"celeryql:task:{task_id}", "state", "attempt") == ["SUCCEEDED", "2"]
    assert site.messages_left() == {}


async def test_a_task_of_a_killed_pool_process_runs_again(site):
    worker = site.run_worker()
    task_id = await site.enqueue("work", key="k", seconds=1.5)
    wait_for_runs(site, 1)
    (run,) = site.ledger.runs()
    next(child for child in worker.children() if child.pid == run.pid).kill()
    killed_at = time.time()

    await site.all_end()

    (again,) = runs_of(site, "k")[1:]
    assert again.at - killed_at < 10  # Celery checks its pool every 5 s
    assert site.redis.hmget(f"celeryql:task:{task_id}", "state", "attempt") == ["SUCCEEDED", "2"]
    assert site.messages_left() == {}


async def test_workers_that_are_killed_repeatedly_under_load_lose_no_task(site):
    workers = [site.run_worker("a", "prefork"), site.run_worker("b", "solo")]
    flood = Flood(site, TASK_S)
    await flood.enqueue(80 * KILLS)
    kills = []

    for _ in range(KILLS):
        await flood.wait_until_begun(6, DEADLINE_S)
        kills.append(await kill_all(workers))
    states = await site.all_end(120)

    counts, keys = site.ledger.counts(), flood.keys
    assert states == {"SUCCEEDED": len(keys)}
    assert set(counts) == set(keys)
    again = {key for key, n in counts.items() if n > 1}
    waited_s, taken_over_s = [], []
    for key in again:
        first, second, *_ = runs_of(site, key)
        # It was running when its worker was killed, or had ended but was not acknowledged yet.
        ran = [k for k in kills if k.began_at - TASK_S - 0.5 < first.at <= k.ended_at]
        assert ran, f"{key} ran at {first.at}, and again at {second.at}; kills: {kills}"
        killed_at = ran[0].ended_at
        waited_s.append(second.at - killed_at)
        down_s = sum(kill.down_s(killed_at, second.at) for kill in kills)
        taken_over_s.append(waited_s[-1] - down_s)
    show_figure(
        f"{len(again)} of {len(keys)} ran again, at most {max(waited_s):.1f} s after a kill"
    )
    show_figure(f"at most {max(taken_over_s):.1f} s of that with a worker ready")
    assert max(taken_over_s) < TAKEN_OVER_S
    assert site.messages_left() == {}


async def test_a_message_that_a_killed_worker_took_but_never_recorded_is_redelivered(site):
    worker = site.run_worker("a", "solo")
    taken, rounds = 0, 8 if WHOLE else 3
    for n in range(rounds):
        await asyncio.sleep(0.3)
        worker.freeze()  # its BRPOP is most likely outstanding
        await site.enqueue("work", key=f"k{n}", seconds=0)
        await asyncio.sleep(0.2)
        taken += site.server.messages() == 0
        worker.kill()
        worker.start()
        assert await site.all_end() == {"SUCCEEDED": n + 1}

    assert taken >= rounds / 2
    assert set(site.ledger.counts().values()) == {1}
    assert site.messages_left() == {}


async def test_a_worker_that_was_frozen_runs_nothing_twice(site):
    frozen, other = site.run_worker("a", "solo"), site.run_worker("b", "solo")
    frozen.freeze()
    await site.work([f"k{n}" for n in range(20)], seconds=0.05)
    wait_for_runs(site, 20)
    await asyncio.sleep(1)
    frozen.thaw()
    await asyncio.sleep(2)

    assert await site.all_end() == {"SUCCEEDED": 20}
    assert set(site.ledger.counts().values()) == {1}
    assert (other.is_alive(), site.messages_left()) == (True, {})


async def test_a_warm_shutdown_finishes_running_tasks_and_returns_the_rest(site):
    worker = site.run_worker()
    await site.work([f"k{n}" for n in range(6)], seconds=2)
    wait_for_runs(site, 2)
    worker.process.terminate()
    worker.process.wait(10)
    assert set(site.states()) == {"SUCCEEDED", "QUEUED"}

    site.run_worker("b")
    assert await site.all_end() == {"SUCCEEDED": 6}
    assert set(site.ledger.counts().values()) == {1}
    assert site.messages_left() == {}


@pytest.mark.parametrize("pool", ["prefork", "solo"])
async def test_a_shutdown_past_its_grace_period_returns_running_tasks(site, pool):
    worker = site.run_worker("a", pool, REMAP_SIGTERM="SIGQUIT", SOFT_SHUTDOWN_TIMEOUT="1")
    await site.work(["k0", "k1", "k2"], seconds=4)
    wait_for_runs(site, 1)
    worker.process.terminate()
    worker.process.wait(15)

    site.run_worker("b", pool)
    assert await site.all_end() == {"SUCCEEDED": 3}
    assert max(site.ledger.counts().values()) <= 2
    assert site.messages_left() == {}


async def test_an_idle_worker_shuts_down_without_waiting(site):
    worker = site.run_worker("a", "prefork", REMAP_SIGTERM="SIGQUIT")
    began = time.monotonic()
    worker.process.terminate()
    worker.process.wait(20)

    assert time.monotonic() - began < 10


@pytest.mark.parametrize("pool", ["prefork", "solo"])
async def test_a_task_that_always_kills_its_worker_fails_and_others_still_run(site, pool):
    worker = site.run_worker("a", pool)
    poison = await site.enqueue("poison")
    await site.work([f"k{n}" for n in range(20)], seconds=0.05)
    while set(site.states()) - {"SUCCEEDED", "FAILED"}:
        if not worker.is_alive():  # in the solo pool the task kills the worker itself
            worker.start()
        await asyncio.sleep(0.2)

    state, failure = site.redis.hmget(f"celeryql:task:{poison}", "state", "failure")
    assert state == "FAILED"
    assert "worker was lost during attempt 3" in failure
    assert site.ledger.counts()["poison"] == 3
    assert site.states() == {"SUCCEEDED": 20, "FAILED": 1}


async def test_tasks_running_or_scheduled_beyond_the_visibility_timeout_run_once(site):
    site.run_worker("a", "solo", VISIBILITY_TIMEOUT="5")
    site.run_worker("b", "prefork", VISIBILITY_TIMEOUT="5")
    await site.work(["long-1", "long-2", "long-3"], seconds=14)  # one for each worker process
    await site.enqueue("work", {"start": {"inSeconds": 8}}, key="later", seconds=0)

    assert await site.all_end() == {"SUCCEEDED": 4}
    assert set(site.ledger.counts().values()) == {1}
    assert site.messages_left() == {}


async def test_chains_and_chords_survive_killed_workers(site):
    def step(task, key, **arguments):
        given = {"ledger": str(site.ledger.path), "key": key} | arguments
        return {"step": {"task": {task: given}}}

    worker = site.run_worker()
    for n in range(20):
        first = step("work", f"c{n}-0", seconds=0.05)
        steps = [first, *[step("follow", f"c{n}-{i}") for i in (1, 2, 3)]]
        await site.client.enqueue("workflow", canvas={"chain": steps})
    for n in range(8):
        header = [step("work", f"d{n}-{i}", seconds=0.05) for i in range(4)]
        chord = {"header": header, "body": step("gather", f"d{n}-body")}
        await site.client.enqueue("workflow", canvas={"chord": chord})
    for _ in range(4):
        wait_for_runs(site, len(site.ledger.runs()) + 8)
        worker.process.kill()  # the main process; its pool survives for a moment
        worker.kill()
        worker.start()

    assert await site.all_end() == {"SUCCEEDED": 28 + 20 * 4 + 8 * 5}
    counts = site.ledger.counts()
    assert len(counts) == 20 * 4 + 8 * 5
    bodies_twice = [key for key, n in counts.items() if "body" in key and n > 1]
    assert bodies_twice == []
    assert site.messages_left() == {}

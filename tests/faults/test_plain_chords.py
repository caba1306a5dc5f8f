"""Test that chords of plain Celery callers end although workers die at the worst moment."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading

import pytest

from tests.processes import wait_until

pytestmark = pytest.mark.slow

CHORDS, WIDTH, KILLS = 5, 3, 5
CALLER = f"""
import json
from celery import chord
from tasks.arithmetic import add
from tasks.kitchen import total
bodies = [chord([add.s(1, 2)] * {WIDTH})(total.s()) for _ in range({CHORDS})]
print(json.dumps([[body.id, [member.id for member in body.parent.results]] for body in bodies]))
"""


class Killer(threading.Thread):
    """Kills a worker as soon as it has written the success of a chord member."""

    def __init__(self, site, members):
        super().__init__(daemon=True)
        self.site, self.members, self.kills = site, members, 0

    def run(self):
        self.pubsub = self.site.redis.pubsub()
        self.pubsub.psubscribe("celery-task-meta-*")
        # Longer than the 12 s for which Celery lets no other process send the body.
        self.worker = self.site.run_worker("a", "solo", VISIBILITY_TIMEOUT="14")
        for message in self.pubsub.listen():
            if self.kills == KILLS:
                return
            if message["type"] != "pmessage" or json.loads(message["data"])["status"] != "SUCCESS":
                continue
            if message["channel"].removeprefix("celery-task-meta-") in self.members:
                self.worker.kill()
                self.kills += 1
                self.worker.start()


async def test_chords_end_if_workers_die_between_the_state_and_the_count_of_a_member(site):
    published = subprocess.check_output(  # noqa: ASYNC221
        [sys.executable, "-c", CALLER], cwd=site.project, env={"REDIS_URL": site.server.url}
    )
    chords = json.loads(published)
    killer = Killer(site, {member for _, members in chords for member in members})
    killer.start()
    await asyncio.to_thread(killer.join, 90)

    assert killer.kills == KILLS
    metas = [f"celery-task-meta-{body}" for body, _ in chords]

    def results():
        return [json.loads(meta or "{}") for meta in site.redis.mget(metas)]

    ended = {"SUCCESS", "FAILURE"}
    wait_until(lambda: all(r.get("status") in ended for r in results()), "every chord ends", 60)
    assert [(r["status"], r["result"]) for r in results()] == [("SUCCESS", 3.0 * WIDTH)] * CHORDS

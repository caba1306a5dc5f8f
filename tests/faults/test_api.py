"""Test that mutations are accepted completely or not at all when the API or Redis is killed."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from itertools import count

import httpx
import pytest

from tests.faults.extent import WHOLE, show_figure

pytestmark = pytest.mark.slow

MUTATIONS = 1_000 if WHOLE else 150
WORKFLOWS = MUTATIONS // 25
WIDTH = 50
TASK = """
mutation($ledger: String!, $key: String!) {
  enqueueWork(input: {ledger: $ledger, key: $key, seconds: 0}) {
    ... on EnqueueWorkSuccess { task { id } } ... on Unavailable { message }
  }
}
"""
WORKFLOW = """
mutation($canvas: CanvasInput!) {
  enqueueWorkflow(input: {canvas: $canvas}) {
    ... on EnqueueWorkflowSuccess { task { id } } ... on Unavailable { message }
  }
}
"""


class Clients:
    """Send mutations over eight connections, and keep the answers."""

    def __init__(self, site):
        self.site = site
        self.answers = {}  # by key
        self._next = count()

    def _operation(self, n):
        if n % (MUTATIONS // WORKFLOWS):
            key = f"task-{n}"
            return key, TASK, {"ledger": str(self.site.ledger.path), "key": key}
        arguments = [
            {"ledger": str(self.site.ledger.path), "key": f"flow-{n}-{i}", "seconds": 0}
            for i in range(WIDTH)
        ]
        group = [{"step": {"task": {"work": given}}} for given in arguments]
        return f"flow-{n}", WORKFLOW, {"canvas": {"group": group}}

    async def _send(self, until):
        async with httpx.AsyncClient(base_url=self.site.client.url, timeout=10) as http:
            while not until.is_set() and (n := next(self._next)) < MUTATIONS:
                key, operation, variables = self._operation(n)
                self.answers[key] = "no answer"
                body = {"query": operation, "variables": variables}
                try:
                    answer = (await http.post("/graphql", json=body)).json()
                except httpx.HTTPError:
                    return
                (payload,) = answer["data"].values()
                self.answers[key] = "accepted" if "task" in payload else payload["message"]

    async def send_until(self, event):
        await asyncio.gather(*[self._send(event) for _ in range(8)])


@pytest.mark.parametrize("victim", ["api", "redis"])
async def test_answers_are_true_and_nothing_is_accepted_in_part(site, victim):
    clients = Clients(site)
    dice = random.Random(victim)

    while len(clients.answers) < MUTATIONS:
        stop = asyncio.Event()
        sending = asyncio.create_task(clients.send_until(stop))
        await asyncio.sleep(dice.uniform(0.1, 0.8))
        if victim == "api":
            site.api.kill()
            await sending
            site.api.wait()
            site.run_api()
        else:
            site.server.kill()
            stop.set()
            await sending
            site.server.start()

    site.run_worker()
    states = await site.all_end()
    ran = site.ledger.counts()
    steps = defaultdict(list)
    for key in ran:
        steps[key.rsplit("-", 1)[0] if key.startswith("flow") else key].append(key)

    answers = defaultdict(int)
    for key, answer in clients.answers.items():
        answers[answer] += 1
        whole = WIDTH if key.startswith("flow") else 1
        if answer == "accepted":
            assert len(steps[key]) == whole, key
        elif "Nothing was accepted" in answer:
            assert len(steps[key]) == 0, key
        else:
            assert len(steps[key]) in (0, whole), key
    assert set(states) == {"SUCCEEDED"}
    assert set(ran.values()) == {1}
    assert answers["accepted"] > MUTATIONS / 5, dict(answers)
    show_figure(f"{victim} killed: {dict(answers)}")

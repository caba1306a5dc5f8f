"""What is thrown at the API leaves nothing behind in it."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from hypothesis import Phase, given, settings
from hypothesis_graphql import from_schema

from tests.fuzz.bodies import BODIES
from tests.fuzz.frames import Peer
from tests.fuzz.profile import bounded
from tests.fuzz.target import Target
from tests.fuzz.test_http import written
from tests.fuzz.test_operations import SCALARS, SCHEMA
from tests.fuzz.test_websocket import HABITS, POLITE, ask

pytestmark = pytest.mark.slow

WARM_UP, ROUNDS = 2, 8
# Measured: 0.1 to 0.5 MB. It ends: of 12,000 operations, the last 8,000 took 0.5 of 2.7 MB.
# One subscription kept for each socket would take 5 MB, 2 kB kept for each request and socket 2.4.
MOST_BYTES = 2_000_000


def drawn(strategy, count):
    """Draw so many examples, the same in each run."""
    found = []

    @settings(bounded(count), max_examples=count, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def collect(one):
        found.append(one)

    collect()
    return found


def test_memory_stays_flat(target: Target):
    documents = drawn(from_schema(SCHEMA, custom_scalars=SCALARS), 60)
    bodies = [json.dumps({"query": document}).encode() for document in documents]
    bodies += map(bytes, drawn(BODIES, 60))
    requests = [written({"Content-Length": len(body)}, body) for body in bodies]
    sockets = drawn(HABITS | POLITE, 30)
    resident = []
    for _ in range(WARM_UP + ROUNDS):
        for request in requests:
            target.exchange(request)
        for habits in sockets:
            with closing(Peer(target)) as peer:
                for data in habits:
                    peer.send(data)
                ask(peer, "the last one")
        resident.append(target.rss())

    assert resident[-1] - resident[WARM_UP - 1] < MOST_BYTES, resident

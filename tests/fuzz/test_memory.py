"""Test that fuzzing leaves no memory behind in the API."""

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
from tests.fuzz.test_http import build_request
from tests.fuzz.test_operations import SCALARS, SCHEMA
from tests.fuzz.test_websocket import ANY_FRAMES, VALID_MESSAGES, query_typename

pytestmark = pytest.mark.slow

WARM_UP, ROUNDS = 2, 8
# Measured: 0.1 to 0.5 MB. Growth ends: the last 8,000 of 12,000 operations took 0.5 of 2.7 MB. A
# leak of one subscription a socket would take 5 MB; of 2 kB for each request and socket, 2.4 MB.
MAX_GROWTH_BYTES = 2_000_000


def draw_examples(strategy, count):
    """Draw a number of examples, the same in each run."""
    examples = []

    @settings(bounded(count), max_examples=count, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def collect(example):
        examples.append(example)

    collect()
    return examples


def test_memory_stays_flat(target: Target):
    documents = draw_examples(from_schema(SCHEMA, custom_scalars=SCALARS), 60)
    bodies = [json.dumps({"query": document}).encode() for document in documents]
    bodies += map(bytes, draw_examples(BODIES, 60))
    requests = [build_request({"Content-Length": len(body)}, body) for body in bodies]
    sockets = draw_examples(ANY_FRAMES | VALID_MESSAGES, 30)
    resident = []
    for _ in range(WARM_UP + ROUNDS):
        for request in requests:
            target.exchange(request)
        for frames in sockets:
            with closing(Peer(target)) as peer:
                for data in frames:
                    peer.send(data)
                query_typename(peer, "the last one")
        resident.append(target.rss())

    assert resident[-1] - resident[WARM_UP - 1] < MAX_GROWTH_BYTES, resident

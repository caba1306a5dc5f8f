"""Hostile input is refused quickly, and does not delay other clients."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ROUNDS = 3  # one has to pass: other work on the machine only ever makes a round slower
MAILS = " ".join(
    f'm{i}: enqueueSendEmail(input: {{to: $a, cc: $a, bcc: $a, subject: "s", text: "t"}})'
    " { __typename }"
    for i in range(20)
)
LISTS = " ".join(
    f"m{i}: enqueueDetectSpamBatch(input: {{messages: $a}}) {{ __typename }}" for i in range(20)
)
ATTACKS = {
    "addresses": (f"mutation($a: [String!]!) {{ {MAILS} }}", ['"' * 254] * 50, 0.5),
    "lists": (f"mutation($a: [String!]!) {{ {LISTS} }}", [""] * 1_000, 2.0),
}


async def attack(http, query, values):
    """Send an operation; return its duration and that of the slowest other request."""
    began, slowest_s = time.monotonic(), 0.0
    body = {"query": query, "variables": {"a": values}}
    attacking = asyncio.create_task(http.post("/graphql", json=body))
    while not attacking.done():
        asked = time.monotonic()
        await http.get("/healthz")
        slowest_s = max(slowest_s, time.monotonic() - asked)
    return time.monotonic() - began, slowest_s, attacking.result().json()["data"]


@pytest.mark.parametrize(("query", "values", "most_s"), ATTACKS.values(), ids=ATTACKS)
async def test_hostile_input_delays_no_other_client(client, query, values, most_s):
    async with httpx.AsyncClient(base_url=client.url, timeout=60) as http:
        await http.get("/healthz")
        rounds = [await attack(http, query, values) for _ in range(ROUNDS)]

    for _, _, data in rounds:
        assert {answer["__typename"] for answer in data.values()} == {"InvalidInput"}
    assert min(took_s for took_s, _, _ in rounds) < most_s
    assert min(slowest_s for _, slowest_s, _ in rounds) < 0.1

"""Reading the body of a request."""

from __future__ import annotations

import asyncio
import time

import pytest
from cross_web import HTTPException

from graphql_api.transport.request_body import read_body


async def receive_one_byte():
    await asyncio.sleep(0.01)
    return {"type": "http.request", "body": b"x", "more_body": True}


async def test_a_body_that_arrives_byte_by_byte_times_out():
    began = time.monotonic()
    with pytest.raises(HTTPException) as refused:
        await read_body(receive_one_byte, 1_000_000, timeout_s=0.2)

    assert refused.value.status_code == 408
    assert time.monotonic() - began < 2

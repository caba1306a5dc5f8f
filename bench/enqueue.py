"""Measure the server's CPU time to enqueue one task, in microseconds.

Ours validates the input, writes a record and puts the message into the outbox; peers call
`.delay()`. No worker runs meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from bench.http import post_all
from bench.measure import alternate, cpu_us_each
from bench.operations import ADD
from bench.rows import Row
from bench.stage import Server, Stage
from celeryql.settings import PROJECT_ROOT
from graphql_api.local.redis_server import reserve_port

_TASKS = 1_000
_NAIVE = "mutation($x: Float!) { add(x: $x, y: 2) { id state } }"
_ENVIRONMENT = PROJECT_ROOT / ".data" / "flower"  # separate, because we do not depend on Flower
_PYTHON = _ENVIRONMENT / "bin" / "python"
_HOW_TO = (
    "Skipping the row of Flower, which is not installed. To install it: "
    f"python3 -m venv {_ENVIRONMENT}, then "
    f"{_PYTHON} -m pip install --require-hashes -r requirements-flower.lock\n"
)


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with FastAPI, with Strawberry as in its documentation, and with Flower."""
    count = stage.times(_TASKS)
    with ExitStack() as held:
        api, plain = held.enter_context(stage.api()), held.enter_context(stage.peer("plain_api"))
        naive = held.enter_context(stage.peer("naive_graphql"))
        sides = {
            "ours": (api, "/graphql", {"query": ADD, "variables": {"x": 1}}),
            "FastAPI + .delay()": (plain, "/add", {"x": 1, "y": 2}),
            "naive Strawberry": (naive, "/graphql", {"query": _NAIVE, "variables": {"x": 1}}),
        }
        if _PYTHON.exists():
            flower = held.enter_context(_flower(stage))
            sides["Flower send-task"] = (flower, "/api/task/send-task/add", {"args": [1, 2]})
        else:
            sys.stderr.write(_HOW_TO)
        runs = {
            name: partial(
                cpu_us_each, count, partial(post_all, to.url, path, [body] * count), to.pid
            )
            for name, (to, path, body) in sides.items()
        }
        taken = await alternate(stage.rounds, **runs)
    to_reach = {"FastAPI + .delay()": 0.7, "naive Strawberry": 0.7, "Flower send-task": 0.5}
    for name in [name for name in sides if name != "ours"]:
        ours, theirs = taken["ours"], taken[name]
        yield Row("one GraphQL enqueue", name, ours, theirs, "us CPU", to_reach[name])


@contextmanager
def _flower(stage: Stage) -> Iterator[Server]:
    port = reserve_port()
    argv = ["celery", "-A", "bench.peers.stock", "flower", f"--port={port}", "--address=127.0.0.1"]
    with stage.listening(argv, port, python=str(_PYTHON)) as process:
        yield Server(f"http://127.0.0.1:{port}", process.pid)

"""Make the writes of a worker without a worker: `python -m bench.driver ours|stock`.

The process reads commands from standard input, one JSON array `[name, ...]` a line, and answers
each with one line of JSON. Times come from the monotonic clock, which all processes of a machine
share, so the caller can compute latencies.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from typing import Any

from celery import Celery
from celery.app.task import Context
from redis import Redis

from bench.peers.naive_graphql import CHANNEL


class Driver:
    """Writes what a worker of an app would write; each public method is a command."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._redis: Redis = Redis.from_url(os.environ["PEER_REDIS_URL"])

    def finish(self, ids: list[str]) -> float:
        """Write the success of each task, and return how many seconds that took."""
        backend = self._app.backend
        requests = [self._request(id_) for id_ in ids]
        began = time.perf_counter()
        for request in requests:
            backend.mark_as_done(request.id, 3.0, request=request)
        return time.perf_counter() - began

    def write_progress(self, ids: list[str], pause_s: float) -> dict[str, float]:
        """Write a custom state of each task, and return when each write started."""
        began = {}
        for id_ in ids:
            time.sleep(pause_s)
            request = self._request(id_)
            began[id_] = time.monotonic()
            self._app.backend.store_result(id_, {"step": 1}, "LOADED", request=request)
        return began

    def publish_to_relay(self, ids: list[str], pause_s: float) -> dict[str, float]:
        """Publish to the channels of the relay, and return when each PUBLISH started."""
        began = {}
        for id_ in ids:
            time.sleep(pause_s)
            text = json.dumps({"id": id_, "state": "RUNNING", "version": 2})
            began[id_] = time.monotonic()
            self._redis.publish(f"relay:{id_}", text)
        return began

    def publish_to_naive(self, ids: list[str]) -> None:
        """Publish a change of each task to the naive subscription."""
        for id_ in ids:
            text = json.dumps({"id": id_, "state": "RUNNING", "version": 2})
            self._redis.publish(CHANNEL, text)

    def restore(self, passes: int) -> None:
        """Look for messages of dead workers, as a worker does periodically."""
        with self._app.connection_for_read() as connection:
            qos = connection.channel().qos
            for _ in range(passes):
                qos.restore_visible()

    def _request(self, id_: str) -> Context:
        return Context(id=id_, task=_TASK, hostname="bench@here", delivery_info={}, retries=0)


_TASK = "tasks.arithmetic.add"


def main() -> int:
    """Run commands until standard input ends."""
    module = {"ours": "tasks", "stock": "bench.peers.stock"}[sys.argv[1]]
    driver: Any = Driver(import_module(module).app)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answer = getattr(driver, name)(*arguments)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

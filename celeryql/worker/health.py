"""Health check of a worker: `python -m celeryql.worker.health NODE`.

The health check of a container and the supervisor of `./dev up` use it. A worker that has lost its
connection, or whose event loop hangs, is still alive for the operating system.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from celeryql.errors import exit_on_bad_configuration
from celeryql.records import KEY
from celeryql.settings import load_settings

HEARTBEAT_S = 2.0  # the longest time between two heartbeats of a worker
OFFLINE_AFTER_S = 5 * HEARTBEAT_S  # more than two lost heartbeats and a slow one
DEAF_AFTER_S = 15.0  # a worker with room asks for messages each second, except when it reconnects
_TIMEOUT_S = 2.0


def check_worker(url: str, node: str) -> str | None:
    """Describe in a few words what is wrong with a worker; None if it is healthy.

    An outage of Redis is no problem of the worker, because a restart would not solve it.

    Args:
        url: of Redis.
        node: the worker's Celery node name, such as `celery@host`.
    """
    # Imported here because it takes half a second that the start of the supervisor does not need.
    import redis  # noqa: PLC0415

    from celeryql.outages import is_outage  # noqa: PLC0415

    timeouts = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
    try:
        with redis.Redis.from_url(url, decode_responses=True, **timeouts) as client:
            heartbeat = client.hgetall(f"{KEY}worker:{node}")
            now_s, _ = client.time()
    except redis.RedisError as error:
        return None if is_outage(error) else "wrote a heartbeat that cannot be read"
    return find_problem(heartbeat, now_s)


def find_problem(heartbeat: Mapping[str, str], now_s: float) -> str | None:
    """Describe the problem that a worker's last heartbeat shows; None if the worker is online.

    Raises:
        KeyError, ValueError: the heartbeat was not written by a CeleryQL worker.
    """
    if heartbeat.get("online") != "1":
        return "is not online"
    silent_s = now_s - int(heartbeat["seen_at"]) / 1_000
    if silent_s >= OFFLINE_AFTER_S:
        return f"has sent no heartbeat for {silent_s:.0f} s"
    if problem := heartbeat.get("ailment"):
        return problem
    deaf_s = int(heartbeat.get("deaf_ms", 0)) / 1_000
    return f"has not polled its queues for {deaf_s:.0f} s" if deaf_s >= DEAF_AFTER_S else None


if __name__ == "__main__":
    with exit_on_bad_configuration():
        url = load_settings().redis_url
    problem = check_worker(url, sys.argv[1])
    sys.exit(problem and f"{sys.argv[1]} {problem}")

"""Tell whether a worker is alive and consuming: `python -m celeryql.worker.health NODE`.

For the health check of a container and the supervisor of one machine. A worker that is connected
to nothing, or whose loop hangs, is alive for the operating system all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from celeryql.errors import ending_in_one_sentence
from celeryql.records import DEAF_AFTER_S, KEY, OFFLINE_AFTER_S
from celeryql.settings import load_settings

# Ailments that name Redis; no restart of an API cures them.
REDIS = "Redis"
NO_ANSWER = f"{REDIS} does not answer"
ERROR_ANSWER = f"{REDIS} answers with an error"
_TIMEOUT_S = 2.0


def ailment(url: str, node: str) -> str | None:
    """Say in a few words what is wrong with a worker; None if it is well.

    Of an outage of Redis, which no restart of a worker mends, it is not to blame: None, too.

    Args:
        url: of Redis.
        node: its Celery node name, as `celery@host`.
    """
    # Half a second, which the start of the supervisor does not need.
    import redis  # noqa: PLC0415

    from celeryql.outages import is_outage  # noqa: PLC0415

    timeouts = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
    try:
        with redis.Redis.from_url(url, decode_responses=True, **timeouts) as client:
            told = client.hgetall(f"{KEY}worker:{node}")
            now_s, _ = client.time()
    except redis.RedisError as error:
        return None if is_outage(error) else "has a heartbeat that cannot be read"
    return ailment_of(told, now_s)


def ailment_of(told: Mapping[str, str], now_s: float) -> str | None:
    """Say what is wrong with a worker by what it told at its last heartbeat; None if it is online.

    Raises:
        KeyError, ValueError: no worker of ours wrote that.
    """
    if told.get("online") != "1":
        return "has not begun to work"
    silent_s = now_s - int(told["seen_at"]) / 1_000
    if silent_s >= OFFLINE_AFTER_S:
        return f"has not been heard of for {silent_s:.0f} s"
    if said := told.get("ailment"):
        return said
    deaf_s = int(told.get("deaf_ms", 0)) / 1_000
    return f"has not asked for messages for {deaf_s:.0f} s" if deaf_s >= DEAF_AFTER_S else None


if __name__ == "__main__":
    with ending_in_one_sentence():
        url = load_settings().redis_url
    found = ailment(url, sys.argv[1])
    sys.exit(found and f"{sys.argv[1]} {found}")

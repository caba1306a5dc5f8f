"""Checks before `./dev up` starts anything: Redis answers, and no other `./dev up` runs.

Each failure raises an error whose message is one sentence for the user.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphql_api.auth.trusted_hosts import StartRefused
from graphql_api.local.redis_server import ping_failure


def refuse_dead_redis(url: str) -> None:
    """Refuse to start if the Redis of the settings does not answer, or cannot be used.

    Raises:
        StartRefused: it does not answer a PING.
        BadSettings: it is too old, or its user may not call functions.
    """
    if reason := ping_failure(url):
        raise StartRefused(
            f"REDIS_URL is set, but no Redis answers there ({reason}): "
            "correct it, or unset it to start a private one"
        )
    from celeryql.lua_functions import load_at_start  # noqa: PLC0415  # imports redis, like `ping_failure`

    load_at_start(url)


@contextmanager
def only_one(lock_path: Path) -> Iterator[None]:
    """Hold the lock of this project's data folder; the system frees it when the process ends.

    Raises:
        StartRefused: another process holds it.
    """
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    with lock_path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StartRefused(
                f"./dev up already runs for this project (process {lock.read() or 'unknown'}): "
                "stop it first"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield

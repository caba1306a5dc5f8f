"""Checks before `./dev up` starts anything: the port, Redis, and no other `./dev up`.

Each failure raises an error whose message is one sentence for the user.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celeryql.errors import BadSettings
from graphql_api.auth.trusted_hosts import StartRefused
from graphql_api.local.redis_server import ping_failure

PORTS_TRIED = 100


def choose_port(host: str, wanted: int, *, strict: bool) -> int:
    """Return the wanted port if it is free, or else, unless `strict`, the next free one.

    Raises:
        StartRefused: no such port is free.
        BadSettings: the host is not an address of this machine, or this user may not bind the port.
    """
    last = wanted if strict else min(wanted + PORTS_TRIED, 65_535)
    for port in range(wanted, last + 1):
        try:
            with socket.create_server((host, port), family=_family(host)) as server:
                free: int = server.getsockname()[1]
                return free
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                reason = f"{host}:{port} cannot be bound, see HOST and PORT: {error.strerror}"
                raise BadSettings(reason) from error
    taken = f"Port {wanted} is" if strict else f"All ports from {wanted} to {last} are"
    raise StartRefused(
        f"{taken} taken: stop the program that uses it, or choose another with --port"
    )


def _family(host: str) -> socket.AddressFamily:
    """Resolve a host; IPv4 wins if the name has addresses of both families."""
    return min(found[0] for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def refuse_dead_redis(url: str) -> None:
    """Refuse to start if the Redis of the settings does not answer.

    Raises:
        StartRefused: it does not answer a PING.
    """
    if reason := ping_failure(url):
        raise StartRefused(
            f"REDIS_URL is set, but no Redis answers there ({reason}): "
            "correct it, or unset it to start a private one"
        )


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

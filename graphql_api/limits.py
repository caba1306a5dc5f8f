"""Limits on connections and on what comes in over them."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cross_web import HTTPException
from starlette.types import Message, Receive

from tasks.engine.settings import Settings

_BODY_TIMEOUT_S = 30.0  # for all of a body: part by part, a byte now and then would do


class TooManySockets(Exception):
    """So many are open that no more can be."""


class Sockets:
    """Counts WebSockets and streams, of this process and of each client address in it."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_sockets
        self._most_of_one = settings.max_sockets_per_address
        self._of_address: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many are open."""
        return self._of_address.total()

    @contextmanager
    def opened(self, address: str) -> Iterator[None]:
        """Count one for as long as it is open.

        Raises:
            TooManySockets: it must not be opened.
        """
        if self.total >= self._most or self._of_address[address] >= self._most_of_one:
            raise TooManySockets("Too many WebSockets and streams are open: try again later")
        self._of_address[address] += 1
        try:
            yield
        finally:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]


def bounded(receive: Receive, most_bytes: int, *, timeout_s: float = _BODY_TIMEOUT_S) -> Receive:
    """Receive a body of so many bytes at most, all of it within a time.

    Raises:
        HTTPException: there is more, or it does not come.
    """
    received = 0
    deadline = asyncio.get_running_loop().time() + timeout_s

    async def receive_bounded() -> Message:
        nonlocal received
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, "The body did not come") from error
        received += len(message.get("body", b""))
        if received > most_bytes:
            raise HTTPException(413, f"A request has at most {most_bytes:,} bytes")
        return message

    return receive_bounded


def is_trusted_host(host: str, allowed: tuple[str, ...]) -> bool:
    """Tell whether a `Host` header may be what the API is reached by, where there are no tokens.

    A page of whichever site can have its own name lead to this machine, and is then of the same
    origin as the API (DNS rebinding). It cannot do so with an address, nor with a name without dot.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name in allowed or "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

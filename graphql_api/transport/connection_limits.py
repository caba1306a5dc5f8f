"""Limits on connections and on what comes in over them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cross_web import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from celeryql.settings import Settings

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


async def read_body(
    receive: Receive, most_bytes: int, *, timeout_s: float = _BODY_TIMEOUT_S
) -> bytes:
    """Read a body of so many bytes at most, all of it within a time.

    Raises:
        HTTPException: there is more, or it does not come.
        ClientDisconnect: there is nobody who sends it.
    """
    body, is_whole = bytearray(), False
    try:
        async with asyncio.timeout(timeout_s):
            while not is_whole:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                is_whole = not message.get("more_body", False)
                if len(body) > most_bytes:
                    raise HTTPException(413, f"A request has at most {most_bytes:,} bytes")
    except TimeoutError as error:
        raise HTTPException(408, "The body did not come") from error
    return bytes(body)

"""Limits on how many WebSockets and streams are open, in one process and for each client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from celeryql.settings import Settings


class TooManyConnections(Exception):
    """No more WebSockets or streams may be opened."""


class OpenConnections:
    """Counts the open WebSockets and streams of this process, in total and for each address."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_sockets
        self._most_of_one = settings.max_sockets_per_address
        self._by_address: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many are open."""
        return self._by_address.total()

    @contextmanager
    def opened(self, address: str) -> Iterator[None]:
        """Count one connection while it is open.

        Raises:
            TooManyConnections: it would exceed a limit.
        """
        if self.total >= self._most or self._by_address[address] >= self._most_of_one:
            raise TooManyConnections("Too many WebSockets and streams are open: try again later")
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

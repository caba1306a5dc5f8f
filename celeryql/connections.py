"""The connections of an API process to Redis: a lost one is replaced before it is used.

A pool of redis-py 8.1 checks for the end of a connection's stream before it lends the connection. A
connection that was reset has no such end. Writing to it raises an OSError on asyncio's own loop,
but on uvloop a RuntimeError ("the handler is closed"), which no client treats as an outage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.asyncio import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection


class _LossDetecting(AbstractConnection):
    """A connection that raises a ConnectionError if it was lost, on every event loop."""

    was_lost = False  # since the pool last checked

    async def disconnect(self, *args: Any, **options: Any) -> None:
        """Disconnect; a pool does so only with a connection that cannot be used."""
        self.was_lost = True
        await super().disconnect(*args, **options)

    async def can_read(self) -> bool:
        """Tell the pool whether unread data would make the connection unusable.

        Raises:
            ConnectionError: it was lost, so the pool replaces it.
        """
        self._refuse_if_lost()
        return await super().can_read()

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        self._refuse_if_lost()  # it may have been lost since the pool checked it
        await super()._send_packed_command(command)

    def _refuse_if_lost(self) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ConnectionResetError("the connection was lost")


class _TcpConnection(_LossDetecting, Connection):
    """Over TCP."""


class _TlsConnection(_LossDetecting, SSLConnection):
    """Over TLS."""


class _UnixConnection(_LossDetecting, UnixDomainSocketConnection):
    """Over a Unix socket."""


_CLASSES: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _TcpConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


class Pool(ConnectionPool):
    """redis-py's pool, which reconnects all idle connections when one was lost.

    A network that drops packets silently breaks them all; each would cost a request its timeout.
    """

    def __init__(
        self, connection_class: type[AbstractConnection] = Connection, **options: Any
    ) -> None:
        super().__init__(_CLASSES[connection_class], **options)

    async def release(self, connection: Any) -> None:  # one of the classes above
        """Take a connection back; if it was lost, disconnect the idle ones, so they reconnect."""
        await super().release(connection)
        if connection.was_lost:
            connection.was_lost = False
            idle: Any
            for idle in {*self._available_connections} - {connection}:
                await idle.disconnect(nowait=True)
                idle.was_lost = False

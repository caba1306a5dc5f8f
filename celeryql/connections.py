"""The connections of an API process to Redis: one that was lost is noticed before it is used.

A pool of redis-py 8.1 looks for the end of a connection's stream before it hands the connection
out. A connection that was reset has no such end. To write to it is an OSError on asyncio's own
loop, but a RuntimeError on uvloop ("the handler is closed"), which nobody counts as an outage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.asyncio import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection


class _Watchful(AbstractConnection):
    """A connection that raises a ConnectionError where it was lost, whichever loop runs it."""

    was_lost = False  # since its pool last asked

    async def disconnect(self, *args: Any, **options: Any) -> None:
        """Note that the connection ends, which a pool does not do to one that is fit to be used."""
        self.was_lost = True
        await super().disconnect(*args, **options)

    async def can_read(self) -> bool:
        """Tell a pool whether the connection is fit to be used; an error has it replaced.

        Raises:
            ConnectionError: it was lost.
        """
        self._refuse_if_lost()
        return await super().can_read()

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        self._refuse_if_lost()  # it may be lost between the look of the pool and this write
        await super()._send_packed_command(command)

    def _refuse_if_lost(self) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ConnectionResetError("the connection was lost")


class _TcpConnection(_Watchful, Connection):
    """Over TCP."""


class _TlsConnection(_Watchful, SSLConnection):
    """Over TLS."""


class _UnixConnection(_Watchful, UnixDomainSocketConnection):
    """Over a Unix socket."""


_WATCHFUL: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _TcpConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


class Pool(ConnectionPool):
    """redis-py's pool, which takes the loss of one connection for a sign that others are lost.

    Packets may vanish without a word, and each idle connection would cost one request its timeout.
    """

    def __init__(
        self, connection_class: type[AbstractConnection] = Connection, **options: Any
    ) -> None:
        super().__init__(_WATCHFUL[connection_class], **options)

    async def release(self, connection: Any) -> None:  # one of the above, as are the idle
        """Take a connection back; if it was lost, have those that are idle connect again."""
        await super().release(connection)
        if connection.was_lost:
            connection.was_lost = False
            idle: Any
            for idle in {*self._available_connections} - {connection}:
                await idle.disconnect(nowait=True)
                idle.was_lost = False

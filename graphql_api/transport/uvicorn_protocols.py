"""HTTP/1.1 and WebSocket on the wire: uvicorn's protocols, with bounds on what a peer can hold.

Whoever connects can take memory without having said anything that the app gets to see: these are
the places where that is bounded.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

# What a client has not taken for so long ends its connection, which nothing else does where it has
# stopped to read, and acknowledges the question whether it would go on.
_UNSENT_TIMEOUT_MS = 20_000
_UNREAD_TIMEOUT_S = 3.0  # the same, where what is written waits in our own memory
# The head of a request, its line and headers, is some kilobytes and comes at once; uvicorn would
# read and keep it however long it is and takes. The same is true of what may follow a body.
_HEAD_MAX_BYTES = 64_000
_PIPELINED_MAX = 8  # requests behind one that is being answered; no client sends so many
_NO_OPENING = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 23\r\n\r\nThis opens no WebSocket"
)


class Unread:
    """Ends the connection of a peer that takes nothing of what is written to it."""

    transport: Any
    _unread_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Wait until the peer reads, for as long as it takes something."""
        super().pause_writing()  # type: ignore[misc]  # of uvicorn's protocol
        self._watch()

    def resume_writing(self) -> None:
        """Write on."""
        self._forget()
        super().resume_writing()  # type: ignore[misc]  # of uvicorn's protocol

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer."""
        self._forget()
        super().connection_lost(exc)  # type: ignore[misc]  # of uvicorn's protocol

    def _watch(self) -> None:
        unread = self.transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._unread_timer = loop.call_later(_UNREAD_TIMEOUT_S, self._end_if_stuck, unread)

    def _end_if_stuck(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() < unread:
            self._watch()
        else:
            self.transport.abort()

    def _forget(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None


class Protocol(Unread, HttpToolsProtocol):
    """HTTP/1.1, and the beginning of each WebSocket, on connections that do not outlive peers.

    Whoever connects has to send a head, of a size and in a time that is bounded; from the end of an
    answer to the next request it is uvicorn's time that counts.
    """

    head_timeout_s = 10.0
    _unended_bytes = 0  # received behind the last end of a head or part of a body
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Have the system end the connection of a peer that has gone, or does not read."""
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
                option = socket.TCP_USER_TIMEOUT
                connection.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_TIMEOUT_MS)
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer."""
        self._ended()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, but no head without end."""
        self._unended_bytes += len(data)
        super().data_received(data)
        # Where it was the beginning of a WebSocket, another protocol has the connection now.
        is_left = self.transport.is_closing() or self.transport.get_protocol() is not self
        if self._unended_bytes and not is_left:
            self._await_head()
            if self._unended_bytes > _HEAD_MAX_BYTES:
                self.send_400_response(f"A request's head has at most {_HEAD_MAX_BYTES:,} bytes")

    def on_headers_complete(self) -> None:
        """Begin to serve a request.

        Raises:
            ValueError: there are too many before it; this ends the connection with a 400.
        """
        self._ended()
        if len(self.pipeline) >= _PIPELINED_MAX:
            raise ValueError("too many requests at once")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand over a part of a body; who sends it behind its answer gets no more time for it."""
        if not self.cycle.response_complete:
            self._ended()
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Wait for the next request, but not for ever for the rest of this one's body."""
        if self.cycle.more_body:
            self._await_head()
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._ended()
        super().on_message_complete()

    def _await_head(self) -> None:
        if self._head_timer is None:
            loop = asyncio.get_running_loop()
            self._head_timer = loop.call_later(self.head_timeout_s, self.transport.close)

    def _ended(self) -> None:
        self._unended_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class SocketProtocol(Unread, WebSocketsSansIOProtocol):
    """WebSockets that end without a traceback, which any client could fill the log with."""

    def __init__(self, send_timeout_s: float, **given: Any) -> None:
        """Serve one socket.

        Args:
            send_timeout_s: how long a message may wait for room in the buffers on its way.
            given: by uvicorn.
        """
        super().__init__(**given)
        self._send_timeout_s = send_timeout_s

    async def send(self, message: Any) -> None:
        """Send a message, in time or not at all: who takes nothing is let go."""
        if not self.writable.is_set():  # a clock for each message would be a tenth of its cost
            try:
                async with asyncio.timeout(self._send_timeout_s):
                    while not self.writable.is_set():  # others who waited may fill it again
                        await self.writable.wait()
            except TimeoutError:
                self.transport.abort()
                raise ClientDisconnected from None
        await super().send(message)

    def data_received(self, data: bytes) -> None:
        """Read, and answer who asks for a WebSocket in no way that opens one.

        uvicorn would be silent, and keep the connection: to a body, or too many headers.
        """
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or _NO_OPENING)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Hand over a message, or end the socket of who sends as text what is none."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError as error:
                self.conn.fail(CloseCode.INVALID_DATA, error.reason)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """End the socket of who breaks the protocol, and let the app know at once.

        Else what it still sends, in answer to what came before, would be its error.
        """
        super().handle_parser_exception()
        self.disconnected = True

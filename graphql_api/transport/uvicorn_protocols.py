"""uvicorn's HTTP/1.1 and WebSocket protocols, with limits on what a client can make them hold.

A client can take memory and connections before the app sees any request; these limits prevent it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

# After this time, the kernel drops a connection whose peer accepts no data. Keep-alive does not
# notice a peer that has stopped reading but still acknowledges probes of its closed window.
_UNSENT_TIMEOUT_MS = 20_000
_STALL_TIMEOUT_S = 3.0  # the same for data in our own write buffer
# A request line with its headers takes some kilobytes and arrives at once. uvicorn has no limit on
# its size or time, nor on the trailers that may follow a body.
_HEAD_MAX_BYTES = 64_000
_PIPELINED_MAX = 8  # requests that wait behind another; no common client sends so many
_NOT_A_HANDSHAKE = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 33\r\n\r\nThis is not a WebSocket handshake"
)


class StalledWriteGuard:
    """Closes a connection whose client stops reading what is sent to it."""

    transport: Any
    _stall_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Start to watch the write buffer."""
        super().pause_writing()  # type: ignore[misc]  # of uvicorn's protocol
        self._watch()

    def resume_writing(self) -> None:
        """Cancel the stall timer: the client reads again."""
        self._stop_watching()
        super().resume_writing()  # type: ignore[misc]  # of uvicorn's protocol

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the stall timer of a closed connection."""
        self._stop_watching()
        super().connection_lost(exc)  # type: ignore[misc]  # of uvicorn's protocol

    def _watch(self) -> None:
        unread = self.transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._stall_timer = loop.call_later(_STALL_TIMEOUT_S, self._close_if_stalled, unread)

    def _close_if_stalled(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() < unread:
            self._watch()
        else:
            self.transport.abort()

    def _stop_watching(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


class LimitedHttpProtocol(StalledWriteGuard, HttpToolsProtocol):
    """HTTP/1.1 and WebSocket handshakes, with limits on the size and time of a request's head.

    The time limit holds from the connection on, and within a request. Between a response and the
    next request, uvicorn's keep-alive timeout holds.
    """

    head_timeout_s = 10.0
    _head_bytes = 0  # received since the last complete head or part of a body
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Let the kernel close the connection if the client disappears or stops reading."""
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
                option = socket.TCP_USER_TIMEOUT
                connection.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_TIMEOUT_MS)
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._head_ended()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read data, but no head of unlimited size."""
        self._head_bytes += len(data)
        super().data_received(data)
        # After a WebSocket handshake, another protocol owns the connection.
        is_left = self.transport.is_closing() or self.transport.get_protocol() is not self
        if self._head_bytes and not is_left:
            self._start_head_timer()
            if self._head_bytes > _HEAD_MAX_BYTES:
                self.send_400_response(
                    f"The request line and headers are longer than {_HEAD_MAX_BYTES:,} bytes"
                )

    def on_headers_complete(self) -> None:
        """Start to serve a request.

        Raises:
            ValueError: too many requests wait; the client gets a 400.
        """
        self._head_ended()
        if len(self.pipeline) >= _PIPELINED_MAX:
            raise ValueError("Too many pipelined requests")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive a part of a body; after the response, it no longer extends the time limit."""
        if not self.cycle.response_complete:
            self._head_ended()
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Wait for the next request, and limit the time for the rest of this one's body."""
        if self.cycle.more_body:
            self._start_head_timer()
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._head_ended()
        super().on_message_complete()

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            loop = asyncio.get_running_loop()
            self._head_timer = loop.call_later(self.head_timeout_s, self.transport.close)

    def _head_ended(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class LimitedWebSocketProtocol(StalledWriteGuard, WebSocketsSansIOProtocol):
    """WebSockets with a send timeout, and without tracebacks for a client's protocol errors."""

    def __init__(self, send_timeout_s: float, **given: Any) -> None:
        """Serve one WebSocket.

        Args:
            send_timeout_s: how long a message may wait for room in the write buffer.
            given: uvicorn's arguments.
        """
        super().__init__(**given)
        self._send_timeout_s = send_timeout_s

    async def send(self, message: Any) -> None:
        """Send a message, or close the connection if the write buffer stays full."""
        if not self.writable.is_set():  # a timeout for every message would add a tenth to its cost
            try:
                async with asyncio.timeout(self._send_timeout_s):
                    while not self.writable.is_set():  # another message may fill the buffer first
                        await self.writable.wait()
            except TimeoutError:
                self.transport.abort()
                raise ClientDisconnected from None
        await super().send(message)

    def data_received(self, data: bytes) -> None:
        """Read data, and answer an invalid handshake.

        uvicorn neither answers nor closes if the handshake has a body or too many headers.
        """
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or _NOT_A_HANDSHAKE)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Pass a message to the app, or close the WebSocket if its text is not UTF-8."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError as error:
                self.conn.fail(CloseCode.INVALID_DATA, error.reason)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Close the WebSocket after a protocol error, and tell the app at once.

        The app may still send answers to earlier messages; those would raise in the app.
        """
        super().handle_parser_exception()
        self.disconnected = True

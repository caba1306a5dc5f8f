"""`python -m graphql_api.server`: the API alone, as uvicorn runs it, in every installation."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

from graphql_api.auth import Authenticator
from graphql_api.preflight import StartRefused, refuse_public
from tasks.engine.errors import BadSettings
from tasks.engine.logs import configure
from tasks.engine.settings import Settings, load_settings

# A WebSocket is asked for a sign of life this often, and has as long to give it.
PING_S = 10.0
# What a client has not taken for so long ends its connection, which nothing else does where it has
# stopped to read, and acknowledges the question whether it would go on.
_UNSENT_TIMEOUT_MS = 20_000
# The head of a request, its line and headers, is some kilobytes and comes at once; uvicorn would
# read and keep it however long it is and takes. The same is true of what may follow a body.
_HEAD_MAX_BYTES = 64_000


class Protocol(HttpToolsProtocol):
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
        """Begin to serve a request."""
        self._ended()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand over a part of a body."""
        self._ended()
        super().on_body(body)

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


_NO_OPENING = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 23\r\n\r\nThis opens no WebSocket"
)


class SocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets that end without a traceback, which any client could fill the log with."""

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


def options(settings: Settings) -> dict[str, Any]:
    """Give uvicorn's options, but for where to listen."""
    return {
        "http": Protocol,
        "ws": SocketProtocol,
        "ws_max_size": settings.max_body_bytes,
        "ws_ping_interval": PING_S,
        "ws_ping_timeout": PING_S,
        "timeout_graceful_shutdown": 3,
        "proxy_headers": settings.proxy_headers,
        "server_header": False,
        "access_log": False,
        "log_config": None,
    }


def main() -> int:
    """Serve until a signal, and return the exit code."""
    settings = load_settings()
    configure(settings)
    parser = argparse.ArgumentParser(prog="python -m graphql_api.server", description=__doc__)
    parser.add_argument("--host", default=settings.host, help="address to bind")
    parser.add_argument("--port", type=int, default=settings.port, help="port to bind")
    parser.add_argument(
        "--insecure", action="store_true", help="bind any address, without authentication, too"
    )
    asked = parser.parse_args()
    try:
        if not (asked.insecure or Authenticator(settings).is_on):
            refuse_public(asked.host)
    except (StartRefused, BadSettings) as refusal:
        sys.stderr.write(f"{parser.prog}: {refusal}.\n")
        return 1
    factory = "graphql_api.app:create_app"
    uvicorn.run(factory, factory=True, host=asked.host, port=asked.port, **options(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())

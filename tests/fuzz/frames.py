"""Valid and invalid WebSocket frames, and a client that sends any bytes."""

from __future__ import annotations

import json
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.fuzz.target import HOST, READ_S, Target

FIN, RSV1, MASKED = 0x80, 0x40, 0x80


def frame(opcode: int, data: bytes, *, flags: int = FIN, masked: bool = True) -> bytes:
    """Build one frame; a mask of zeros leaves the data unchanged."""
    size = len(data)
    if size < 126:
        length = struct.pack("!B", MASKED * masked | size)
    elif size < 2**16:
        length = struct.pack("!BH", MASKED * masked | 126, size)
    else:
        length = struct.pack("!BQ", MASKED * masked | 127, size)
    return bytes([flags | opcode]) + length + bytes(4) * masked + data


def message(**members: Any) -> bytes:
    """Build a message of graphql-transport-ws."""
    return frame(Opcode.TEXT, json.dumps(members).encode())


class Peer:
    """A WebSocket client that can send any bytes."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket = socket.create_connection((HOST, target.port), timeout=READ_S)
        uri = parse_uri(f"ws://{HOST}:{target.port}/graphql")
        self._protocol = ClientProtocol(uri, subprotocols=["graphql-transport-ws"])
        self._texts: deque[str] = deque()
        self._protocol.send_request(self._protocol.connect())
        while self._protocol.state is State.CONNECTING:
            self._pump()

    def send(self, data: bytes) -> None:
        """Send bytes; ignore errors, because the API may have closed the socket already."""
        with suppress(ConnectionError):
            self._socket.sendall(self._target.with_ids(data))

    def messages_until(self, id_: str) -> list[dict[str, Any]]:
        """Read messages until one about this operation arrives, or the socket is closed.

        Raises:
            TimeoutError: the API sends nothing.
        """
        messages = []
        while True:
            while self._texts:
                messages.append(json.loads(self._texts.popleft()))
                if messages[-1].get("id") == id_:
                    return messages
            if self._protocol.state is State.CLOSED:
                return messages
            self._pump()

    @property
    def close_code(self) -> int | None:
        """Return the code with which the API closed the socket; None while it is open."""
        if self._protocol.state is not State.CLOSED:
            return None
        received = self._protocol.close_rcvd
        return received.code if received else CloseCode.ABNORMAL_CLOSURE

    def close(self) -> None:
        """Close the connection without a closing handshake."""
        self._socket.close()

    def _pump(self) -> None:
        for data in self._protocol.data_to_send():
            with suppress(ConnectionError):
                self._socket.sendall(data)
        if data := self._received():
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                assert event.fin, "the API must not fragment messages"
                self._texts.append(event.data.decode())

    def _received(self) -> bytes:
        try:
            return self._socket.recv(65_536)
        except ConnectionResetError:
            return b""

"""WebSocket frames, right and wrong, and a peer that sends them as they are."""

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
    """Write one frame; a mask of zeros leaves its data as they are."""
    size = len(data)
    if size < 126:
        length = struct.pack("!B", MASKED * masked | size)
    elif size < 2**16:
        length = struct.pack("!BH", MASKED * masked | 126, size)
    else:
        length = struct.pack("!BQ", MASKED * masked | 127, size)
    return bytes([flags | opcode]) + length + bytes(4) * masked + data


def message(**members: Any) -> bytes:
    """Write a message of graphql-transport-ws."""
    return frame(Opcode.TEXT, json.dumps(members).encode())


class Peer:
    """A WebSocket on which any bytes can be sent."""

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
        """Send bytes, which the API need not take once it has refused what came before."""
        with suppress(ConnectionError):
            self._socket.sendall(self._target.filled(data))

    def texts_until(self, id_: str) -> list[dict[str, Any]]:
        """Read what is told, until it is about this operation or the socket has ended.

        Raises:
            TimeoutError: the API has fallen silent.
        """
        told = []
        while True:
            while self._texts:
                told.append(json.loads(self._texts.popleft()))
                if told[-1].get("id") == id_:
                    return told
            if self._protocol.state is State.CLOSED:
                return told
            self._pump()

    @property
    def close_code(self) -> int | None:
        """With which code the API has closed it; None while it is open."""
        if self._protocol.state is not State.CLOSED:
            return None
        received = self._protocol.close_rcvd
        return received.code if received else CloseCode.ABNORMAL_CLOSURE

    def close(self) -> None:
        """Vanish."""
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
                assert event.fin, "the API sends messages whole"
                self._texts.append(event.data.decode())

    def _received(self) -> bytes:
        try:
            return self._socket.recv(65_536)
        except ConnectionResetError:
            return b""

"""Test that a WebSocket is served, or closed with a reason, whatever frames it receives."""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode

from tests.fuzz.bodies import REQUESTS, VALUES
from tests.fuzz.frames import FIN, RSV1, Peer, frame, message
from tests.fuzz.profile import IS_LONG, bounded
from tests.fuzz.target import TOKEN, Target, assert_expected
from tests.public import KINDS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("target", KINDS, indirect=True),
    *([pytest.mark.timeout(0)] if IS_LONG else []),
]

# Close codes of graphql-transport-ws and of WebSocket, without 1006 (no reason given) and 1011 (an
# internal error).
CODES = {4400, 4401, 4403, 4406, 4408, 4409, 4429, 1000, 1002, 1003, 1007, 1009, 1012}
INIT = message(type="connection_init", payload={"Authorization": f"Bearer {TOKEN}"})
IDS = st.sampled_from(["1", "2", ""]) | st.text(max_size=5)


def text(value):
    return frame(Opcode.TEXT, json.dumps(value).encode())


SUBSCRIBE = st.builds(partial(message, type="subscribe"), id=IDS, payload=REQUESTS)
MESSAGES = st.one_of(
    st.just(INIT),
    SUBSCRIBE,
    st.builds(partial(message, type="complete"), id=IDS),
    st.sampled_from([message(type="ping"), message(type="pong", payload={"n": 1})]),
)
INVALID_MESSAGES = st.one_of(
    VALUES.map(text),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["connection_init", "subscribe", "complete", "ping", "x"])},
        optional={"id": VALUES, "payload": VALUES},
    ).map(text),
    st.binary(max_size=200).map(lambda data: frame(Opcode.TEXT, data)),
    st.binary(max_size=200).map(lambda data: frame(Opcode.BINARY, data)),
)


@st.composite
def _fragmented(draw):
    """A fragmented message, with other frames in between."""
    whole = json.dumps({"type": "ping", "payload": {"text": draw(st.text(max_size=40))}})
    data, parts = whole.encode(), draw(st.integers(2, 5))
    size = -(-len(data) // parts)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    sent = [frame(Opcode.TEXT if not i else Opcode.CONT, p, flags=0) for i, p in enumerate(pieces)]
    between = draw(st.sampled_from([b"", frame(Opcode.PING, b"x"), frame(Opcode.TEXT, b"{}")]))
    last = frame(Opcode.CONT, b"") if draw(st.booleans()) else b""
    return between.join(sent) + last


FRAMES = st.one_of(
    _fragmented(),
    st.builds(
        frame,
        st.integers(0, 15).filter(lambda opcode: opcode != Opcode.CLOSE),
        st.binary(max_size=130),
        flags=st.sampled_from([FIN, FIN, 0, FIN | RSV1, 0xF0]),
        masked=st.sampled_from([True, True, True, False]),
    ),
    st.binary(max_size=125).map(lambda data: frame(Opcode.CLOSE, data)),
    st.integers(0, 5_000).map(lambda n: frame(Opcode.CLOSE, n.to_bytes(2, "big") + b"bye")),
    st.just(b"\x81\xff" + (2**40).to_bytes(8, "big") + bytes(4)),  # announces a terabyte
    st.just(b"\x81\xff" + b"\xff" * 8 + bytes(4)),
)
ANY_FRAMES = st.lists(MESSAGES | INVALID_MESSAGES | FRAMES, max_size=8)
VALID_MESSAGES = st.lists(SUBSCRIBE | MESSAGES, max_size=20).map(lambda sent: [INIT, *sent])


@pytest.fixture(scope="module")
def bystander(target: Target):
    """Open the socket of another client, which watches the cluster."""
    with closing(Peer(target)) as peer:
        peer.send(INIT)
        query = {"query": "subscription { cluster { at } }"}
        peer.send(message(type="subscribe", id="cluster", payload=query))
        assert peer.messages_until("cluster")[-1]["type"] == "next"
        yield peer


def echoed_close_code(data):
    """Return the close code that the API echoes if a frame is a close frame, else None."""
    code = data[6:8]
    is_close = data[0] == FIN | Opcode.CLOSE
    return (int.from_bytes(code, "big") if code else 1005) if is_close else None


OPERATIONS = map(str, count())


def query_typename(peer, id):
    """Send a query, and return the messages until its answer or the end of the socket."""
    peer.send(message(type="subscribe", id=id, payload={"query": "{ __typename }"}))
    return peer.messages_until(id)


@bounded(200)
@given(ANY_FRAMES | VALID_MESSAGES)
def test_a_socket_is_served_or_closed_with_a_reason(target: Target, bystander, frames):
    with closing(Peer(target)) as peer:
        for data in frames:
            peer.send(data)
        messages = query_typename(peer, "the last one")
        code = peer.close_code

    assert code is None or code in CODES | set(map(echoed_close_code, frames))
    for each in messages:
        assert_expected(each["payload"] if each["type"] == "error" else [])
        assert_expected(each["payload"].get("errors", []) if each["type"] == "next" else [])
    assert query_typename(bystander, f"operation {next(OPERATIONS)}")[-1]["type"] == "next"

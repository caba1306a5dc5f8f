"""Whatever frames and messages come over a WebSocket: it is served, or closed with a reason."""

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

# Those of graphql-transport-ws, and those of WebSockets themselves. Neither 1006, which stands for
# no reason at all, nor 1011, which is a failure of ours.
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
NO_MESSAGES = st.one_of(
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
    """A message in parts, with whatever may come in between."""
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
    st.just(b"\x81\xff" + (2**40).to_bytes(8, "big") + bytes(4)),  # says that a terabyte follows
    st.just(b"\x81\xff" + b"\xff" * 8 + bytes(4)),
)
HABITS = st.lists(MESSAGES | NO_MESSAGES | FRAMES, max_size=8)
POLITE = st.lists(SUBSCRIBE | MESSAGES, max_size=20).map(lambda messages: [INIT, *messages])


@pytest.fixture(scope="module")
def bystander(target: Target):
    """A socket that someone else opened before, and watches the cluster with."""
    with closing(Peer(target)) as peer:
        peer.send(INIT)
        query = {"query": "subscription { cluster { at } }"}
        peer.send(message(type="subscribe", id="cluster", payload=query))
        assert peer.texts_until("cluster")[-1]["type"] == "next"
        yield peer


def echo(data):
    """Give the code that answers a frame, where it is one that closes: its own."""
    code = data[6:8]
    is_close = data[0] == FIN | Opcode.CLOSE
    return (int.from_bytes(code, "big") if code else 1005) if is_close else None


OPERATIONS = map(str, count())


def ask(peer, id):
    """Ask something, and give what is told until there is an answer, or the socket has ended."""
    peer.send(message(type="subscribe", id=id, payload={"query": "{ __typename }"}))
    return peer.texts_until(id)


@bounded(200)
@given(HABITS | POLITE)
def test_a_socket_is_served_or_closed_with_a_reason(target: Target, bystander, habits):
    with closing(Peer(target)) as peer:
        for data in habits:
            peer.send(data)
        told = ask(peer, "the last one")
        code = peer.close_code

    assert code is None or code in CODES | set(map(echo, habits))
    for one in told:
        assert_expected(one["payload"] if one["type"] == "error" else [])
        assert_expected(one["payload"].get("errors", []) if one["type"] == "next" else [])
    assert ask(bystander, f"operation {next(OPERATIONS)}")[-1]["type"] == "next"

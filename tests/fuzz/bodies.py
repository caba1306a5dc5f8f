"""Strategies for request bodies: valid and damaged documents, JSON of any shape, and bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.fuzz.target import ENDED, WAITING

#: Any client with a token may send these.
DOCUMENTS = (
    "{ viewer { subject scopes } }",
    "{ __schema { types { name } } }",
    "query A { a: queues { name } } query B { workers { online } }",
    "query($n: Int = 3) { tasks(first: $n) { nodes { id ...F } } } fragment F on Task { state }",
    "mutation M($m: String!) { enqueueEcho(input: {message: $m}) { ... on Error { message } } }",
    f'mutation {{ retryTask(id: "{ENDED}", from: START) {{ __typename }} }}',
    "subscription { cluster { at } }",
    'subscription($after: EventCursor) { tasks(after: $after) { cursor } task(id: "x") { kind } }',
    f'subscription {{ task(id: "{WAITING}") {{ kind task {{ state }} }} }}',
)
# Includes lone surrogates, which JSON can escape.
_TEXT = st.text(st.characters(), max_size=20)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def _spliced(draw):
    """A document in which a piece is replaced."""
    document = draw(st.sampled_from(DOCUMENTS))
    start = draw(st.integers(0, len(document)))
    end = start + draw(st.integers(0, 8))
    piece = draw(st.text('{}()[]:$!@|&="\\#,. \nax0', max_size=12) | st.text(max_size=6))
    return document[:start] + piece * draw(st.integers(1, 3)) + document[end:]


_MEMBERS = {
    "query": st.sampled_from(DOCUMENTS) | _spliced(),
    "variables": st.fixed_dictionaries({}, optional={"n": VALUES, "m": VALUES, "after": VALUES}),
    "operationName": st.sampled_from(["A", "B", "M", ""]),
    "extensions": st.dictionaries(_TEXT, VALUES, max_size=2),
}


@st.composite
def _requests(draw):
    members = draw(st.sets(st.sampled_from(sorted(_MEMBERS)))) | {"query"}
    request = {name: draw(_MEMBERS[name]) for name in sorted(members)}
    if draw(st.booleans()):
        request |= {draw(st.sampled_from(sorted(_MEMBERS))): draw(VALUES)}
    return request


#: The parameters of a request; at most one of them has a wrong type.
REQUESTS = _requests()


@dataclass(frozen=True)
class Repeated:
    """A body that is too large to print."""

    before: bytes
    what: bytes
    times: int
    after: bytes = b""

    def __bytes__(self):
        return self.before + self.what * self.times + self.after


_LARGE = st.one_of(
    st.builds(Repeated, st.just(b'{"query": '), st.just(b"["), st.integers(1, 200_000)),
    st.builds(Repeated, st.just(b'{"query": "'), st.just(b"a"), st.integers(1, 1_100_000)),
    st.builds(
        Repeated,
        st.just(b'{"query": "{ a }", "variables": {"n": '),
        st.just(b"9"),
        st.integers(1, 100_000),
        st.just(b"}}"),
    ),
)
_NEAR = st.text('{}[]":,0123456789eE+-. \\untrfalsqy', max_size=60).map(str.encode)


def _encoded(value):
    return json.dumps(value).encode()


#: Bodies of any kind, half of them JSON; convert them with `bytes`.
BODIES = st.one_of(
    REQUESTS.map(_encoded),
    REQUESTS.map(_encoded),
    VALUES.map(_encoded),
    st.binary(max_size=500),
    _NEAR,
    _LARGE,
)

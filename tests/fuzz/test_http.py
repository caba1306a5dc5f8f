"""Test that the API answers any bytes over HTTP, in time and never with an internal error."""

from __future__ import annotations

import json
from http.client import RemoteDisconnected
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.bodies import BODIES, REQUESTS
from tests.fuzz.profile import IS_LONG, bounded
from tests.fuzz.target import HOST, TOKEN, Target, graphql_of
from tests.public import KINDS, PAGE, SIGNED_BY_NOBODY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("target", KINDS, indirect=True),
    *([pytest.mark.timeout(0)] if IS_LONG else []),
]

JSON = ("application/json", "application/graphql-response+json")
METHODS = (
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "HEAD",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "XYZ",
    "G T",
)
LIKELY = {
    "Content-Type": [
        *JSON,
        'application/json; charset="utf-8"',
        "application/json; charset=utf-16",
        "application/json;;=;charset",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ],
    "Accept": [
        *JSON,
        "*/*;q=0.1, text/html",
        "text/event-stream",
        "multipart/mixed;subscriptionSpec=1.0, application/json",
        "application/json;q=nan",
        "application/json;q=-1, text/event-stream;q=1e999",
        ",;=,",
    ],
    "Authorization": [
        f"Bearer {TOKEN}x",
        "Bearer",
        "Basic eDp4",
        "Bearer a.b.c",
        *(f"Bearer {token}" for token in SIGNED_BY_NOBODY),
    ],
    "Content-Encoding": ["identity", "gzip"],
    "Connection": ["close", "keep-alive", "Upgrade"],
    "Upgrade": ["websocket", "h2c"],
    "Sec-WebSocket-Key": ["dGhlIHNhbXBsZSBub25jZQ==", "x"],
    "Sec-WebSocket-Version": ["13", "12"],
    "Expect": ["100-continue", "x"],
    "Host": ["evil.example.com", "[::1", ""],
    "Origin": ["null", "https://evil.example.com", f"http://{HOST}", PAGE],
    "Access-Control-Request-Method": ["POST", "DELETE", "x"],
    "Access-Control-Request-Headers": ["authorization", "x-evil", ","],
    "X-Forwarded-For": ["10.0.0.1", "x", "::1, 10.0.0.1", ",", "127.0.0.1:99999", "[::1"],
    "X-Forwarded-Proto": ["https", "wss", "x"],
    "Forwarded": ["for=10.0.0.1;proto=https", ";="],
    "Cookie": ["a=b"],
}
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
CHANGES = st.lists(
    st.sampled_from(sorted(LIKELY)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(LIKELY[name]) | VALUE)
    ),
    max_size=3,
).map(dict)


def chunked(body, size=7):
    parts = [body[start : start + size] for start in range(0, min(len(body), 700), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


# Ways to frame a body: the headers, and the bytes that are sent.
COMPLETE = {
    "exact": lambda body: ({"Content-Length": len(body)}, body),
    "chunked": lambda body: ({"Transfer-Encoding": "chunked"}, chunked(body) + b"0\r\n\r\n"),
    "none": lambda body: ({}, body),
    "longer than declared": lambda body: ({"Content-Length": len(body) // 2}, body),
    "declared twice": lambda body: (
        {"Content-Length": len(body), "Transfer-Encoding": "chunked"},
        chunked(body) + b"0\r\n\r\n",
    ),
    "not a number": lambda body: ({"Content-Length": "x"}, body),
    "negative": lambda body: ({"Content-Length": -1}, body),
    "beyond 64 bits": lambda body: ({"Content-Length": 10**30}, body),
}
INCOMPLETE = {
    "shorter than declared": lambda body: ({"Content-Length": len(body) + 10}, body),
    "endless": lambda body: ({"Content-Length": 10**12}, body),
    "without the last chunk": lambda body: ({"Transfer-Encoding": "chunked"}, chunked(body)),
    "not chunked": lambda body: ({"Transfer-Encoding": "chunked"}, body),
    "unknown encoding": lambda body: ({"Transfer-Encoding": "gzip"}, body),
}


def build_request(headers, body, *, method="POST", path="/graphql", version="1.1"):
    """Build a request with the usual headers, some of them changed."""
    usual = {"Host": HOST, "Authorization": f"Bearer {TOKEN}", "Content-Type": JSON[0]}
    lines = [f"{method} {path} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in (usual | headers).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def check(answer):
    assert 100 <= answer.status < 500, answer
    if answer.media_type in JSON and answer.body:
        graphql_of(answer.body)


@bounded(300)
@given(BODIES, CHANGES, st.sampled_from(["exact", "chunked"]) | st.sampled_from(sorted(COMPLETE)))
def test_every_body_is_answered(target: Target, body, headers, framing):
    declared, sent = COMPLETE[framing](bytes(body))

    check(target.exchange(build_request(headers | declared, sent)))


@bounded(40)
@given(BODIES, CHANGES, st.sampled_from(sorted(INCOMPLETE)))
def test_an_incomplete_body_is_tolerated(target: Target, body, headers, framing):
    declared, sent = INCOMPLETE[framing](bytes(body))

    try:
        answer = target.exchange(build_request(headers | declared, sent), is_whole=False)
    except RemoteDisconnected:
        return  # the API need not answer a client that is gone
    check(answer)


@bounded(150)
@given(
    st.sampled_from(["GET", "POST"]) | st.sampled_from(METHODS),
    REQUESTS | st.dictionaries(VALUE, VALUE, max_size=3),
    CHANGES,
    st.sampled_from(["1.1", "1.0"]) | st.sampled_from(["2.0", "9.9", "x"]),
)
def test_every_method_and_query_string_is_answered(target: Target, method, given, headers, version):
    texts = {n: v if isinstance(v, str) else json.dumps(v) for n, v in given.items()}
    path = "/graphql?" + urlencode(texts, errors="surrogatepass")

    request = build_request(headers, b"", method=method, path=path, version=version)
    check(target.exchange(request, method))


@bounded(150)
@given(CHANGES, VALUE, st.sampled_from(["graphql-transport-ws", "x"]) | VALUE)
def test_every_websocket_handshake_is_answered(target: Target, headers, query, subprotocol):
    opening = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": subprotocol,
    }
    path = "/graphql?" + urlencode({"query": query})
    request = build_request(opening | headers, b"", method="GET", path=path)

    check(target.exchange(request, "GET"))


@bounded(100)
@given(st.binary(max_size=200), st.binary(max_size=60))
def test_malformed_http_is_answered(target: Target, head, path):
    request = b"GET /graphql?%s HTTP/1.1\r\n%s\r\n\r\n" % (path, head)

    try:
        check(target.exchange(request, "GET", is_whole=False))
    except RemoteDisconnected:
        return

"""What clients say they read, and what they get."""

from __future__ import annotations

import pytest

from graphql_api.transport.negotiation import JSON, RESPONSE, Wanted, negotiate

SSE, MULTIPART = "sse", "multipart-subscription"
APOLLO = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json,"
    " text/event-stream, multipart/mixed"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, Wanted(JSON, None, page=False)),
        ("*/*", Wanted(JSON, None, page=False)),
        ("application/*", Wanted(JSON, None, page=False)),
        (JSON, Wanted(JSON, None, page=False)),
        (RESPONSE, Wanted(RESPONSE, None, page=False)),
        (f"{JSON}, {RESPONSE}", Wanted(RESPONSE, None, page=False)),
        (f"{RESPONSE};q=0.5, {JSON}", Wanted(JSON, None, page=False)),
        (f"{RESPONSE.upper()} ; Q=1", Wanted(RESPONSE, None, page=False)),
        (f"{JSON};q=0, */*", Wanted(None, None, page=False)),
        ("image/png", Wanted(None, None, page=False)),
        (";;,,q=", Wanted(None, None, page=False)),
        (f"{JSON};q=high", Wanted(None, None, page=False)),
        ("text/event-stream", Wanted(None, SSE, page=False)),
        ("text/event-stream;q=0, */*", Wanted(JSON, None, page=False)),
        (f"{JSON}, text/event-stream;q=0.1", Wanted(JSON, SSE, page=False)),
        ("multipart/mixed", Wanted(None, None, page=False)),
        ('multipart/mixed; subscriptionSpec="1.0"', Wanted(None, MULTIPART, page=False)),
        (f"text/event-stream;q=0.1, {APOLLO}", Wanted(JSON, MULTIPART, page=False)),
        (APOLLO, Wanted(JSON, MULTIPART, page=False)),
        (URQL, Wanted(RESPONSE, SSE, page=False)),
        (BROWSER, Wanted(JSON, None, page=True)),
        ("text/html;q=0.5, */*", Wanted(JSON, None, page=False)),
        ("text/html;q=0", Wanted(None, None, page=False)),
    ],
)
def test_a_client_gets_the_best_that_it_reads(accept, wanted):
    assert negotiate(accept) == wanted

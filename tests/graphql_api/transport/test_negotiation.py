"""Content negotiation by the `Accept` header."""

from __future__ import annotations

import pytest

from graphql_api.transport.negotiation import JSON, RESPONSE, AcceptedFormats, negotiate

SSE, MULTIPART = "sse", "multipart-subscription"
APOLLO = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json,"
    " text/event-stream, multipart/mixed"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "formats"),
    [
        (None, AcceptedFormats(JSON, None, page=False)),
        ("*/*", AcceptedFormats(JSON, None, page=False)),
        ("application/*", AcceptedFormats(JSON, None, page=False)),
        (JSON, AcceptedFormats(JSON, None, page=False)),
        (RESPONSE, AcceptedFormats(RESPONSE, None, page=False)),
        (f"{JSON}, {RESPONSE}", AcceptedFormats(RESPONSE, None, page=False)),
        (f"{RESPONSE};q=0.5, {JSON}", AcceptedFormats(JSON, None, page=False)),
        (f"{RESPONSE.upper()} ; Q=1", AcceptedFormats(RESPONSE, None, page=False)),
        (f"{JSON};q=0, */*", AcceptedFormats(None, None, page=False)),
        ("image/png", AcceptedFormats(None, None, page=False)),
        (";;,,q=", AcceptedFormats(None, None, page=False)),
        (f"{JSON};q=high", AcceptedFormats(None, None, page=False)),
        ("text/event-stream", AcceptedFormats(None, SSE, page=False)),
        ("text/event-stream;q=0, */*", AcceptedFormats(JSON, None, page=False)),
        (f"{JSON}, text/event-stream;q=0.1", AcceptedFormats(JSON, SSE, page=False)),
        ("multipart/mixed", AcceptedFormats(None, None, page=False)),
        ('multipart/mixed; subscriptionSpec="1.0"', AcceptedFormats(None, MULTIPART, page=False)),
        (f"text/event-stream;q=0.1, {APOLLO}", AcceptedFormats(JSON, MULTIPART, page=False)),
        (APOLLO, AcceptedFormats(JSON, MULTIPART, page=False)),
        (URQL, AcceptedFormats(RESPONSE, SSE, page=False)),
        (BROWSER, AcceptedFormats(JSON, None, page=True)),
        ("text/html;q=0.5, */*", AcceptedFormats(JSON, None, page=False)),
        ("text/html;q=0", AcceptedFormats(None, None, page=False)),
    ],
)
def test_a_client_gets_the_best_format_that_it_accepts(accept, formats):
    assert negotiate(accept) == formats

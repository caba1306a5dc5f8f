"""The formats of answers that go on: server-sent events, and parts of a multipart body."""

from __future__ import annotations

from typing import ClassVar

from strawberry.http.streaming import MultipartSubscriptionTransport, SSETransport

HEARTBEAT_S = 10.0  # proxies commonly close what is silent for a minute, some for less


class ServerSentEvents(SSETransport):
    """Events framed by LF: urql, and whoever else splits at two of them, knows no CRLF.

    Source: the GraphQL over SSE protocol, "Distinct connections mode".
    """

    def __init__(self) -> None:
        super().__init__(heartbeat_interval=HEARTBEAT_S)

    def encode_event(self, event: str, data: str | None = None) -> str:
        """Encode one event; its data is one line, as JSON without indentation is."""
        return f"event: {event}\ndata: {data or ''}\n\n"

    def encode_comment(self, comment: str) -> str:
        """Encode what clients leave out."""
        return f": {comment}\n\n"


class Multipart(MultipartSubscriptionTransport):
    """Apollo's multipart subscriptions, as Strawberry has them.

    Source: Apollo's "Multipart protocol for GraphQL subscriptions", 1.0.
    """

    heartbeat_interval: float = HEARTBEAT_S
    send_initial_heartbeat: ClassVar[bool] = True

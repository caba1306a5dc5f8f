"""The formats of answers that go on: server-sent events, and parts of a multipart body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from time import time
from typing import Any, ClassVar

from strawberry.http.streaming import (
    HTTPStreamTransport,
    MultipartSubscriptionTransport,
    SSETransport,
)

from graphql_api.api_errors import ApiError, Code

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
    """Apollo's multipart subscriptions, framed as strict readers of MIME need them.

    Strawberry ends with an empty part, which has not even a header, and lets the media type run on
    into the next one of `Accept`. A part is followed by its delimiter, or it would be read only
    when the next comes; so the first heartbeat is the preamble, which all readers leave out.

    Source: Apollo's "Multipart protocol for GraphQL subscriptions", 1.0; RFC 2046, 5.1.1.
    """

    heartbeat_interval: float = HEARTBEAT_S
    send_initial_heartbeat: ClassVar[bool] = True

    @property
    def headers(self) -> Mapping[str, str]:
        """Name the format and what parts it."""
        return {"Content-Type": f"multipart/mixed;boundary={self.separator};subscriptionSpec=1.0"}

    def encode_complete(self) -> str:
        """Make the last delimiter the closing one."""
        return "--\r\n"


async def until(
    expires_at: float | None, texts: AsyncGenerator[str, None], transport: HTTPStreamTransport
) -> AsyncGenerator[str, None]:
    """Give a stream while a token is valid, and then its end.

    Args:
        expires_at: in seconds since 1970; None for never.
        texts: what to send.
        transport: whose format it is in.
    """
    async with aclosing(texts):
        while True:
            left_s = None if expires_at is None else max(0.0, expires_at - time())
            try:
                async with asyncio.timeout(left_s) as timeout:
                    text = await anext(texts)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not timeout.expired():
                    raise
                break
            yield text
    error = ApiError("The token has expired", Code.UNAUTHENTICATED).formatted
    answer: Any = {"data": None, "errors": [error]}
    yield transport.encode_next(answer, json.dumps)
    yield transport.encode_complete()

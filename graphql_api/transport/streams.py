"""Streams over HTTP: server-sent events and multipart bodies, which end when the token expires."""

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

from graphql_api.api_errors import ApiError, ErrorCode

HEARTBEAT_S = 10.0  # proxies commonly close a connection that is silent for a minute, some sooner


class ServerSentEvents(SSETransport):
    r"""Server-sent events with LF line ends: urql and others split at `\n\n` and fail with CRLF.

    Source: the GraphQL over SSE protocol, "Distinct connections mode".
    """

    def __init__(self) -> None:
        super().__init__(heartbeat_interval=HEARTBEAT_S)

    def encode_event(self, event: str, data: str | None = None) -> str:
        """Encode one event; its data is one line, because the JSON is not indented."""
        return f"event: {event}\ndata: {data or ''}\n\n"

    def encode_comment(self, comment: str) -> str:
        """Encode a comment, which clients ignore."""
        return f": {comment}\n\n"


class MultipartStream(MultipartSubscriptionTransport):
    """Apollo's multipart subscriptions, in a form that strict MIME parsers can read.

    Strawberry ends the body with a part that has no headers, and its media type runs into the next
    one of `Accept`. Here each part is followed by its delimiter at once, since a client cannot read
    a part before the delimiter has arrived. This makes the first heartbeat the preamble of the
    body, which clients ignore.

    Source: Apollo's "Multipart protocol for GraphQL subscriptions", 1.0; RFC 2046, 5.1.1.
    """

    heartbeat_interval: float = HEARTBEAT_S
    send_initial_heartbeat: ClassVar[bool] = True

    @property
    def headers(self) -> Mapping[str, str]:
        """The format and the boundary of its parts."""
        return {"Content-Type": f"multipart/mixed;boundary={self.separator};subscriptionSpec=1.0"}

    def encode_complete(self) -> str:
        """Turn the last delimiter into the closing one."""
        return "--\r\n"


async def until_token_expires(
    expires_at: float | None, texts: AsyncGenerator[str, None], transport: HTTPStreamTransport
) -> AsyncGenerator[str, None]:
    """Pass a stream on until a token expires, and then end it with an error.

    Args:
        expires_at: in seconds since 1970; None for never.
        texts: the encoded stream.
        transport: encodes the error in the format of the stream.
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
    error = ApiError("The token has expired", ErrorCode.UNAUTHENTICATED).formatted
    answer: Any = {"data": None, "errors": [error]}
    yield transport.encode_next(answer, json.dumps)
    yield transport.encode_complete()

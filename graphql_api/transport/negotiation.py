"""Content negotiation: the response format that a client asks for in its `Accept` header.

Strawberry takes a media type anywhere in the header as a request for it, even at q=0. A client that
lists every format it can read, as urql does, would get the results of its queries as streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from strawberry.http import GraphQLRequestProtocol

RESPONSE = "application/graphql-response+json"
JSON = "application/json"
HTML = "text/html"
_STREAMS: dict[str, GraphQLRequestProtocol] = {
    "text/event-stream": "sse",
    "multipart/mixed": "multipart-subscription",
}
_ANYTHING = "*/*"
_HEADER_MAX = 1_000  # characters that are read; browsers send 150


class _MediaRange(NamedTuple):
    media_type: str
    parameters: dict[str, str]
    quality: float


@dataclass(frozen=True)
class AcceptedFormats:
    """The formats that a client accepts.

    Attributes:
        single: media type for a single response; None if the client accepts neither of ours.
        stream: Strawberry's name of a stream protocol; None if the client accepts neither.
        page: whether the client prefers an HTML page, as a browser does.
    """

    single: str | None
    stream: GraphQLRequestProtocol | None
    page: bool


def negotiate(accept: str | None) -> AcceptedFormats:
    """Choose formats by quality; equal qualities are decided by order and by the newer media type.

    Source: RFC 9110, 12.5.1; GraphQL over HTTP, "Accept".
    """
    return _negotiate((accept or _ANYTHING)[:_HEADER_MAX])


@lru_cache(50)  # a client sends the same header each time
def _negotiate(accept: str) -> AcceptedFormats:
    ranges = [_parse(part) for part in accept.split(",")]
    # A wildcard selects plain JSON, which every client can read.
    qualities = {
        RESPONSE: _quality(ranges, RESPONSE),
        JSON: _quality(ranges, JSON, "application/*", _ANYTHING),
    }
    streams = [range_ for range_ in ranges if range_.quality and _is_stream(range_)]
    stream = max(streams, key=lambda range_: range_.quality, default=None)
    single = max(qualities, key=lambda name: qualities[name])
    return AcceptedFormats(
        single=single if qualities[single] else None,
        stream=_STREAMS[stream.media_type] if stream else None,
        page=_quality(ranges, HTML) > 0 and _quality(ranges, HTML) >= qualities[single],
    )


def _parse(text: str) -> _MediaRange:
    media_type, *rest = [part.strip() for part in text.split(";")]
    pairs = (part.partition("=") for part in rest)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 0.0
    return _MediaRange(media_type.lower(), parameters, quality)


def _quality(ranges: Iterable[_MediaRange], *names: str) -> float:
    """Find the quality of the first named range; name the most specific one first."""
    qualities = {range_.media_type: range_.quality for range_ in reversed(list(ranges))}
    return next((qualities[name] for name in names if name in qualities), 0.0)


def _is_stream(range_: _MediaRange) -> bool:
    if range_.media_type not in _STREAMS:
        return False
    # `multipart/mixed` alone, or with `deferSpec`, asks for @defer, which is another format.
    is_sse = range_.media_type == "text/event-stream"
    return is_sse or range_.parameters.get("subscriptionspec", "").startswith("1.0")

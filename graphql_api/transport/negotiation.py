"""Content negotiation: what a client wants its answer as, from its `Accept` header.

Strawberry takes a media type anywhere in the header for a wish, at q=0 as well; so a client that
lists all it can read, as urql does, would get its queries as event streams.
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
_EVERYTHING = "*/*"
_READ_MAX = 1_000  # characters; browsers send 150


class _Range(NamedTuple):
    media_type: str
    parameters: dict[str, str]
    quality: float


@dataclass(frozen=True)
class Wanted:
    """What a client can read.

    Attributes:
        single: media type for one answer; None where it reads none of ours.
        stream: Strawberry's name of a protocol for many; None where it reads neither.
        page: whether it rather shows a page, as a browser does.
    """

    single: str | None
    stream: GraphQLRequestProtocol | None
    page: bool


def negotiate(accept: str | None) -> Wanted:
    """Choose by quality; of what is wanted alike, what comes first, and the newer media type.

    Source: RFC 9110, 12.5.1; GraphQL over HTTP, "Accept".
    """
    return _negotiate((accept or _EVERYTHING)[:_READ_MAX])


@lru_cache(50)  # a client sends the same each time
def _negotiate(accept: str) -> Wanted:
    ranges = [_parse(part) for part in accept.split(",")]
    # Who takes anything gets what every client reads.
    qualities = {
        RESPONSE: _quality(ranges, RESPONSE),
        JSON: _quality(ranges, JSON, "application/*", _EVERYTHING),
    }
    streams = [range_ for range_ in ranges if range_.quality and _is_stream(range_)]
    stream = max(streams, key=lambda range_: range_.quality, default=None)
    single = max(qualities, key=lambda name: qualities[name])
    return Wanted(
        single=single if qualities[single] else None,
        stream=_STREAMS[stream.media_type] if stream else None,
        page=_quality(ranges, HTML) > 0 and _quality(ranges, HTML) >= qualities[single],
    )


def _parse(text: str) -> _Range:
    media_type, *rest = [part.strip() for part in text.split(";")]
    pairs = (part.partition("=") for part in rest)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 0.0
    return _Range(media_type.lower(), parameters, quality)


def _quality(ranges: Iterable[_Range], *names: str) -> float:
    """Find the quality of the most specific range; the names go from specific to general."""
    qualities = {range_.media_type: range_.quality for range_ in reversed(list(ranges))}
    return next((qualities[name] for name in names if name in qualities), 0.0)


def _is_stream(range_: _Range) -> bool:
    if range_.media_type not in _STREAMS:
        return False
    # `multipart/mixed` alone, or with `deferSpec`, is for @defer, which is another format.
    is_sse = range_.media_type == "text/event-stream"
    return is_sse or range_.parameters.get("subscriptionspec", "").startswith("1.0")

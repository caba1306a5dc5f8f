"""What a client sends, read so that whatever it is, it is a request or a refusal."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NoReturn

from cross_web import HTTPException
from starlette.requests import Request
from strawberry.http import GraphQLRequestData
from strawberry.http.parse_content_type import parse_content_type

from celeryql.settings import Settings
from graphql_api.transport.connection_limits import read_body

_CONTENT_TYPE_MAX = 200  # characters

_KINDS: dict[str, tuple[type, str]] = {
    "query": (str, "a string"),
    "operationName": (str, "a string"),
    "variables": (dict, "an object"),
    "extensions": (dict, "an object"),
}


def decode_json(text: str | bytes) -> object:
    """Decode JSON; nothing that is none, and nothing that Python cannot hold, passes.

    Raises:
        json.JSONDecodeError: also for what is not UTF-8, for NaN and the infinities, for what is
            nested too deep and for numbers of thousands of digits.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError("This is no JSON", "", 0) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


async def read_parameters(request: Request, settings: Settings) -> object:
    """Read a request's parameters: from the URL of a GET, from the JSON body of a POST.

    A browser sends no other page's JSON without having asked first, which it does for all else.

    Raises:
        HTTPException: it has another media type, what should be JSON is none, or it is too long or
            too slow.
    """
    try:
        if request.method == "GET":
            given = dict(request.query_params)
            encoded = {"variables", "extensions"} & {*filter(given.get, given)}
            return given | {name: decode_json(str(given[name])) for name in encoded}
        content_type = request.headers.get("content-type") or "text/plain"
        if len(content_type) > _CONTENT_TYPE_MAX or not _is_json(content_type):
            raise HTTPException(415, "Send JSON in UTF-8, as `Content-Type: application/json`")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "Send the body as it is, without `Content-Encoding`")
        return decode_json(await read_body(request.receive, settings.max_body_bytes))
    except json.JSONDecodeError as error:
        raise HTTPException(400, "Unable to parse what should be JSON") from error


@lru_cache(50)  # the parser is one for e-mail, and takes as long as a small query
def _is_json(content_type: str) -> bool:
    media_type, parameters = parse_content_type(content_type)
    charset = parameters.get("charset", "utf-8")  # a tuple, where it is written as RFC 2231 has it
    is_utf_8 = isinstance(charset, str) and charset.strip("'\"").lower() in ("utf-8", "utf8")
    return media_type.lower() == "application/json" and is_utf_8


def parse_request(parameters: object) -> GraphQLRequestData:
    """Make a request of its parameters.

    Raises:
        HTTPException: one of them is missing, or of another kind.
    """
    if isinstance(parameters, list):
        raise HTTPException(400, "Send one operation at a time; `enqueueBatch` takes many tasks")
    if not isinstance(parameters, dict):
        raise HTTPException(400, "A GraphQL request is a JSON object")
    given: dict[str, Any] = {}
    for name, (kind, wording) in _KINDS.items():
        value = parameters.get(name)
        given[name] = None if value == "" else value  # an empty one in a URL is none
        if given[name] is not None and not isinstance(given[name], kind):
            raise HTTPException(400, f"`{name}` must be {wording}")
    if not given["query"] and "persistedQuery" in (given["extensions"] or {}):
        # The word on which clients that send digests first send their documents, now and later.
        raise HTTPException(400, "PersistedQueryNotSupported")
    if not given["query"]:
        raise HTTPException(400, "There is no `query`")
    return GraphQLRequestData(
        query=given["query"],
        variables=given["variables"],
        operation_name=given["operationName"],
        extensions=given["extensions"],
    )

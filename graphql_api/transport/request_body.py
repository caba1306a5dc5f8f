"""Reading GraphQL requests: every body and URL becomes a valid request or an HTTP error."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from typing import Any, NoReturn

from cross_web import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive
from strawberry.http import GraphQLRequestData
from strawberry.http.parse_content_type import parse_content_type

from celeryql.settings import Settings

_CONTENT_TYPE_MAX = 200  # characters
_BODY_TIMEOUT_S = 30.0  # for the whole body: a timeout for each part would allow a slow trickle

_PARAMETER_TYPES: dict[str, tuple[type, str]] = {
    "query": (str, "a string"),
    "operationName": (str, "a string"),
    "variables": (dict, "an object"),
    "extensions": (dict, "an object"),
}


def decode_json(text: str | bytes) -> object:
    """Decode JSON strictly.

    Raises:
        json.JSONDecodeError: the text is not JSON, not UTF-8, has a NaN or an infinity, is nested
            too deep, or has a number of thousands of digits.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError("Not valid JSON", "", 0) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


async def read_parameters(request: Request, settings: Settings) -> object:
    """Read the parameters of a request: from the URL of a GET, from the JSON body of a POST.

    Only JSON is accepted: a browser sends JSON to another origin only after a CORS preflight, but
    forms without one.

    Raises:
        HTTPException: the media type is another one, the JSON is invalid, or the body is too long
            or too slow.
    """
    try:
        if request.method == "GET":
            given = dict(request.query_params)
            encoded = {"variables", "extensions"} & {*filter(given.get, given)}
            return given | {name: decode_json(str(given[name])) for name in encoded}
        content_type = request.headers.get("content-type") or "text/plain"
        if len(content_type) > _CONTENT_TYPE_MAX or not _is_json(content_type):
            raise HTTPException(415, "Send JSON in UTF-8 with `Content-Type: application/json`")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "Send the body uncompressed, without `Content-Encoding`")
        return decode_json(await read_body(request.receive, settings.max_body_bytes))
    except json.JSONDecodeError as error:
        raise HTTPException(400, "The request is not valid JSON: correct its syntax") from error


@lru_cache(50)  # Python's e-mail parser takes as long as a small query
def _is_json(content_type: str) -> bool:
    media_type, parameters = parse_content_type(content_type)
    charset = parameters.get("charset", "utf-8")  # a tuple if it is encoded as in RFC 2231
    is_utf_8 = isinstance(charset, str) and charset.strip("'\"").lower() in ("utf-8", "utf8")
    return media_type.lower() == "application/json" and is_utf_8


async def read_body(
    receive: Receive, most_bytes: int, *, timeout_s: float = _BODY_TIMEOUT_S
) -> bytes:
    """Read a whole body, within limits on its size and its time.

    Raises:
        HTTPException: the body is too long or too slow.
        ClientDisconnect: the client disconnected before the end of the body.
    """
    body, is_whole = bytearray(), False
    try:
        async with asyncio.timeout(timeout_s):
            while not is_whole:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                is_whole = not message.get("more_body", False)
                if len(body) > most_bytes:
                    raise HTTPException(
                        413, f"The body is longer than {most_bytes:,} bytes: send a shorter one"
                    )
    except TimeoutError as error:
        text = f"The body did not arrive within {timeout_s:g} s: send the request again"
        raise HTTPException(408, text) from error
    return bytes(body)


def parse_request(parameters: object) -> GraphQLRequestData:
    """Parse the parameters of a request.

    Raises:
        HTTPException: a parameter is missing or has the wrong type.
    """
    if isinstance(parameters, list):
        raise HTTPException(400, "Send one operation at a time; `enqueueBatch` takes many tasks")
    if not isinstance(parameters, dict):
        raise HTTPException(400, "A GraphQL request must be a JSON object")
    given: dict[str, Any] = {}
    for name, (type_, description) in _PARAMETER_TYPES.items():
        value = parameters.get(name)
        given[name] = None if value == "" else value  # an empty URL parameter counts as absent
        if given[name] is not None and not isinstance(given[name], type_):
            raise HTTPException(400, f"`{name}` must be {description}")
    if not given["query"] and "persistedQuery" in (given["extensions"] or {}):
        # After this message, clients that send only a hash send the whole document.
        raise HTTPException(400, "PersistedQueryNotSupported")
    if not given["query"]:
        raise HTTPException(400, "The request has no `query`")
    return GraphQLRequestData(
        query=given["query"],
        variables=given["variables"],
        operation_name=given["operationName"],
        extensions=given["extensions"],
    )

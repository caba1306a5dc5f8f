"""The types of setting values; each says what is wrong with a value that it refuses."""

from __future__ import annotations

import ipaddress
import json
import re
from contextlib import suppress
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

LARGEST = 2**31 - 1  # Redis, Lua and event loops disagree on larger numbers
LAST_PORT = 65_535

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")


def is_host(text: str) -> bool:
    """Return whether a text is the name or the address of a host, without a port."""
    with suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return bool(_NAME.fullmatch(text))


def _host(text: str) -> str:
    if not is_host(text):
        raise PydanticCustomError("host", "not a host: write a name or an address, without a port")
    return text


def _folder(path: Path) -> Path:
    if any(place.exists() and not place.is_dir() for place in (path, *path.parents)):
        raise PydanticCustomError(
            "folder", "not a folder: there is a file at this path, or at a folder above it"
        )
    return path


def _sender(text: str) -> str:
    _, address = parseaddr(text)
    is_address = bool(re.fullmatch(r"[^@\s]+@[^@\s]+", address)) and address.isascii()
    if not is_address or not text.isprintable():
        raise PydanticCustomError("sender", "not a sender: write it as Name <name@example.org>")
    return text


def _proxies(text: str) -> str:
    try:
        for proxy in text.split(",") if text.strip() != "*" else ():
            ipaddress.ip_network(proxy.strip())
    except ValueError as error:
        raise PydanticCustomError(
            "proxies", "not addresses and networks such as 10.0.0.5, 10.1.0.0/16, and not *"
        ) from error
    return text


def _token(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", token.get_secret_value()):
        raise PydanticCustomError("token", "not a token: write ASCII characters without spaces")
    return token


def _list(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    with suppress(ValueError, RecursionError):
        if isinstance(listed := json.loads(value), list):
            return listed
    raise PydanticCustomError("list", 'not a JSON list: write it as ["one", "two"]')


Item = TypeVar("Item")
#: A list, written as JSON in the environment.
Listed = Annotated[tuple[Item, ...], NoDecode, BeforeValidator(_list)]
Port = Annotated[int, Field(ge=1, le=LAST_PORT)]
Count = Annotated[int, Field(le=LARGEST)]
Seconds = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
Host = Annotated[str, AfterValidator(_host)]
Proxies = Annotated[str, AfterValidator(_proxies)]
Token = Annotated[SecretStr, AfterValidator(_token)]  # sent in a header
Sender = Annotated[str, AfterValidator(_sender)]
Folder = Annotated[Path, AfterValidator(_folder)]  # which need not exist yet

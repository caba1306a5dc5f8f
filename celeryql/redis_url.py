"""Validates `REDIS_URL`, and writes it in a form that all of its readers parse alike.

redis-py, kombu and Celery each have a parser of their own. They disagree on `rediss://` without
options, on the spelling of options, and on malformed addresses.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_DEFAULT_PORT = 6379
_LAST_PORT = 65_535
_FORM = "redis://USER:PASSWORD@HOST:PORT/DATABASE"
_CERT_REQS = {
    spelling: mode
    for mode in ("required", "optional", "none")
    for spelling in (mode, f"CERT_{mode.upper()}")  # redis-py's, and Celery's
}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS = ("ssl_cert_reqs", *_FILES, "ssl_check_hostname")
_SWITCH = {
    "true": "true",
    "1": "true",
    "yes": "true",
    "false": "false",
    "0": "false",
    "no": "false",
}


class _InvalidUrl(ValueError):
    """The URL cannot be used. The message never quotes it: any part may be the password."""


def _canonical(url: str) -> str:
    try:
        return _join(_split(url))
    except _InvalidUrl as error:
        raise PydanticCustomError("redis_url", "{reason}", {"reason": str(error)}) from None


#: A Redis URL with every part percent-encoded; a `rediss://` one has its TLS options.
RedisUrl = Annotated[str, AfterValidator(_canonical)]


def without_options(url: str) -> str:
    """Return a validated URL without its options, for readers that use `tls_options`."""
    return url.partition("?")[0]


def tls_options(url: str) -> dict[str, Any] | None:
    """Return the TLS options of a validated URL as arguments for redis-py; None without TLS."""
    if not url.startswith("rediss://"):
        return None
    options: dict[str, Any] = dict(parse_qsl(urlsplit(url).query))
    return options | {"ssl_check_hostname": options["ssl_check_hostname"] == "true"}


def _split(url: str) -> SplitResult:
    """Split a URL, and refuse one whose punctuation is ambiguous."""
    if "://" not in url:
        raise _InvalidUrl(f"it has no scheme: write {_FORM}")
    _check_scheme(url.partition("://")[0].lower())
    if re.search(r"[\x00-\x20\x7f]", url):
        raise _InvalidUrl("it has a space or a control character: percent-encode or remove it")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _InvalidUrl(
            f"its host cannot be parsed: write {_FORM}, and percent-encode [ and ]"
        ) from None
    # With an unescaped one in it, the password would be parsed as the host and a path.
    if "#" in url or "@" in parts.path + parts.query:
        raise _InvalidUrl("percent-encode # (%23), / (%2F) and ? (%3F) in its user and password")
    return parts


def _check_scheme(scheme: str) -> None:
    if scheme == "sentinel":
        raise _InvalidUrl(
            "sentinel:// is not supported: give the address of a proxy, such as HAProxy, that "
            "follows the primary"
        )
    if scheme in ("unix", "socket", "redis+socket"):
        raise _InvalidUrl(
            "unix sockets are not supported: let Redis listen on a port, 127.0.0.1:6379"
        )
    if scheme not in ("redis", "rediss"):
        raise _InvalidUrl("its scheme is neither redis:// nor rediss:// (TLS)")


def _join(parts: SplitResult) -> str:
    scheme = parts.scheme
    path = parts.path.removeprefix("/") or "0"
    if not re.fullmatch(r"[0-9]{1,5}", path):
        raise _InvalidUrl("the path after the host is not the number of a database, such as /0")
    options = _options(parts.query, is_tls=scheme == "rediss")
    query = f"?{urlencode(options)}" if options else ""
    return f"{scheme}://{_credentials(parts)}{_address(parts)}/{int(path)}{query}"


def _credentials(parts: SplitResult) -> str:
    try:
        user, password = (
            quote(unquote(text or "", errors="strict"), safe="")
            for text in (parts.username, parts.password)
        )
    except UnicodeDecodeError:
        raise _InvalidUrl("its user or password is not percent-encoded UTF-8") from None
    return f"{user}{password and f':{password}'}@" if user or password else ""


def _address(parts: SplitResult) -> str:
    try:
        port = _DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not 0 < port <= _LAST_PORT:
        raise _InvalidUrl(f"its port is not a number from 1 to {_LAST_PORT}")
    host = parts.hostname or ""
    with suppress(ValueError):
        return f"[{ipaddress.IPv6Address(host)}]:{port}"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]*[a-z0-9.])?", host):
        raise _InvalidUrl(f"it names no valid host: write {_FORM}")
    return f"{host}:{port}"


def _options(query: str, *, is_tls: bool) -> dict[str, str]:
    given = parse_qsl(query, keep_blank_values=True)
    options = dict(given)
    if not options.keys() <= {*_OPTIONS} or len(options) < len(given):
        raise _InvalidUrl(f"its options can be {', '.join(_OPTIONS)}, each once")
    if options and not is_tls:
        raise _InvalidUrl("its options are for TLS, which needs rediss:// instead of redis://")
    return _tls_options(options) if is_tls else {}


def _tls_options(given: Mapping[str, str]) -> dict[str, str]:
    defaults = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
    options = {**defaults, **given}
    try:
        options["ssl_cert_reqs"] = _CERT_REQS[options["ssl_cert_reqs"]]
        options["ssl_check_hostname"] = _SWITCH[options["ssl_check_hostname"].lower()]
    except KeyError:
        raise _InvalidUrl(
            "ssl_cert_reqs can be required, optional or none; ssl_check_hostname true or false"
        ) from None
    for name in _FILES:
        if name in options:
            options[name] = str(Path(options[name]).absolute())
    _check_files(options)
    return options


def _check_files(options: Mapping[str, str]) -> None:
    """Load the files as each connection does."""
    ca_certs, certfile, keyfile = map(options.get, _FILES)
    if keyfile and not certfile:
        raise _InvalidUrl("ssl_keyfile is given without ssl_certfile")
    name = "ssl_ca_certs"
    try:
        context = ssl.create_default_context(cafile=ca_certs)
        name = "ssl_certfile"
        if certfile:
            context.load_cert_chain(certfile, keyfile, password=lambda: "")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "strerror", None) or error
        with_key = " with ssl_keyfile" if keyfile and name == "ssl_certfile" else ""
        raise _InvalidUrl(
            f"its {name}{with_key} cannot be used: {options[name]}: {reason}"
        ) from None

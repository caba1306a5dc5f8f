"""The API server: `python -m graphql_api.server` runs the app with uvicorn and our limits."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from celeryql.errors import BadSettings
from celeryql.lua_functions import load_at_start
from celeryql.observability.logs import configure
from celeryql.settings import Settings, load_settings
from graphql_api.auth.authenticator import Authenticator
from graphql_api.auth.trusted_hosts import StartRefused, refuse_public
from graphql_api.ports import choose_port, port_number
from graphql_api.transport.uvicorn_protocols import LimitedHttpProtocol, LimitedWebSocketProtocol

if TYPE_CHECKING:
    from fastapi import FastAPI

PING_S = 10.0  # between two pings of a WebSocket, and the time for each answer


def options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options, except for the address."""
    return {
        "workers": 1,  # overrides WEB_CONCURRENCY, which needs the name of an app
        "http": LimitedHttpProtocol,
        "ws": partial(LimitedWebSocketProtocol, send_timeout_s=settings.send_timeout_s),
        "ws_max_size": settings.max_body_bytes,
        "ws_ping_interval": PING_S,
        "ws_ping_timeout": PING_S,
        "timeout_graceful_shutdown": 3,
        # Requests take connections, too, so twice as many; uvicorn answers 503 to more.
        "limit_concurrency": 2 * settings.max_sockets,
        "proxy_headers": settings.proxy_headers,
        "forwarded_allow_ips": settings.forwarded_allow_ips,
        "server_header": False,
        "access_log": False,
        "reset_contextvars": True,  # else a pipelined request inherits the context of the last
        "log_config": None,
    }


def load_app() -> FastAPI:
    """Create the app with garbage collection off, and exclude its objects from later collections.

    This saves 0.1 s at the start, which leaves only 0.5 MB of garbage. Later, each full collection
    would block requests for 75 ms.
    """
    gc.disable()
    from graphql_api.app import create_app  # noqa: PLC0415  # creates most of the objects

    app = create_app()
    gc.freeze()
    gc.enable()
    return app


def main() -> int:
    """Serve until a signal, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m graphql_api.server", description=__doc__)
    parser.add_argument("--host", help="address to bind")
    parser.add_argument("--port", type=port_number, help="port to bind")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="bind an address that other machines can reach, even without authentication",
    )
    asked = parser.parse_args()
    try:
        settings = load_settings()
        host, port = asked.host or settings.host, asked.port or settings.port
        if not (asked.insecure or Authenticator(settings).is_on):
            refuse_public(host)
        choose_port(host, port, strict=False)  # a taken port may be free when uvicorn binds it
        load_at_start(settings.redis_url)
    except (StartRefused, BadSettings) as refusal:
        sys.stderr.write(f"{parser.prog}: {refusal}.\n")
        return os.EX_CONFIG
    configure(settings)
    uvicorn.run(load_app, factory=True, host=host, port=port, **options(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())

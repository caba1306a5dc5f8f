"""The programs of CeleryQL on one machine: their command lines, and checks that they work."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from celeryql.errors import REDIS
from celeryql.worker.health import check_worker
from graphql_api.local.processes import Program
from graphql_api.local.redis_server import EmbeddedRedis, is_ready

LOOPBACK = "127.0.0.1"
PROBE_TIMEOUT_S = 2.0
HUNG_AFTER_S = 10.0  # far longer than any request blocks the event loop
WORKER_OPTIONS = {  # by queue; each worker is named after its queue
    "celery": "-c 2",
    "email_service": "-c 1",
    "ml_service": "--pool=solo -c 1",
}
# Settings that hold secrets, and the program that needs each. API and workers get a checked
# REDIS_URL in their `environment`.
SECRETS = {
    "REDIS_URL": None,
    "AUTH_JWT_SECRET": "api",
    "AUTH_JWKS_URL": "api",
    "METRICS_TOKEN": "api",
    "SMTP_USERNAME": "email_service",
    "SMTP_PASSWORD": "email_service",
}


def _program(name: str, argv: tuple[str, ...], **described: Any) -> Program:
    """Describe a program that does not see the secrets of the others."""
    hidden = frozenset(secret for secret, user in SECRETS.items() if user != name)
    return Program(name, argv, hidden=hidden, **described)


def redis_server(server: EmbeddedRedis) -> Program:
    """Describe the private Redis, which is ready when it answers."""
    ready = partial(asyncio.to_thread, is_ready, server)
    return _program("redis", server.argv, ready=ready, outlasts=True)


def mail_catcher(port: int, maildir: Path) -> Program:
    """Describe an SMTP server that puts every message into one Maildir."""
    command = f"aiosmtpd -n -u -l {LOOPBACK}:{port} -c aiosmtpd.handlers.Mailbox"
    ready = partial(_accepts, LOOPBACK, port)
    return _program("mail", _module(command, str(maildir)), ready=ready, outlasts=True)


def worker(queue: str, environment: Mapping[str, str]) -> Program:
    """Describe the Celery worker of one queue, which is ready when its log says so."""
    command = (
        f"celery --quiet -A tasks worker -Q {queue} --hostname {queue}@%h {WORKER_OPTIONS[queue]}"
        " --loglevel INFO"
    )
    node = f"{queue}@{socket.gethostname()}"
    return _program(
        queue,
        _module(command),
        ready=re.compile(rf"{queue}@\S+ ready\.(\"|$)"),
        environment=environment,
        find_problem=partial(asyncio.to_thread, check_worker, environment["REDIS_URL"], node),
    )


def api(host: str, port: int, environment: Mapping[str, str]) -> Program:
    """Describe the GraphQL server, which is ready when `/readyz` says so."""
    # `--insecure`, because the address was checked before.
    command = f"graphql_api.server --host {host} --port {port} --insecure"
    return _program(
        "api",
        _module(command),
        ready=partial(_is_ready, host, port),
        environment=environment,
        find_problem=partial(_find_problem, host, port),
    )


def training(out: Path) -> Program:
    """Describe the training of the spam model, which ends on its own."""
    return _program("training", _module("ml.train_spam_detector --out", str(out)))


def model_check(model: Path) -> Program:
    """Describe the check of a stored spam model; the exit code is 65 if it cannot be used."""
    return _program("check", _module("ml.check_model", str(model)))


def graphiql(folder: str) -> Program:
    """Describe the build of the GraphiQL page, which ends at once if the page is built."""
    return _program(
        "graphiql",
        _module("graphql_api.pages.graphiql.build"),
        environment={"GRAPHIQL_DIR": folder},
    )


def _module(command: str, *paths: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *command.split(), *paths)


async def _accepts(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def _is_ready(host: str, port: int) -> bool:
    try:
        head, _ = await _readyz(host, port, PROBE_TIMEOUT_S)
    except OSError:
        return False
    return head.split()[1:2] == [b"200"]


async def _find_problem(host: str, port: int) -> str | None:
    try:
        _, body = await _readyz(host, port, HUNG_AFTER_S)
        status = json.loads(body)["status"]
    except OSError:
        return f"has not answered for {HUNG_AFTER_S:g} s"
    except (ValueError, KeyError):  # with too many clients, the API refuses in plain text
        return None
    return None if status == "ready" or REDIS in status else str(status)


async def _readyz(host: str, port: int, timeout_s: float) -> tuple[bytes, bytes]:
    """Request `/readyz`, and return the head and the body of the response.

    Raises:
        OSError: there is no response in time.
    """
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, port)
        with closing(writer):
            writer.write(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return head, body

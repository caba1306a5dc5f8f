"""The fuzzed API: exchange bytes with its process, and read its health."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import jwt
import psutil
from prometheus_client.parser import text_string_to_metric_families

from graphql_api.api_errors import ErrorCode
from graphql_api.auth.authenticator import Scope
from tests.serving import METRICS_TOKEN

HOST = "127.0.0.1"
READ_S = 1.0
SECRET = "a secret of the forty-one bytes that it has"
#: Has all scopes.
TOKEN = jwt.encode({"sub": "fuzz", "exp": 2**32, "scope": " ".join(Scope)}, SECRET, "HS256")
#: Placeholders of equal length for ids that are known only when the API runs.
WAITING, ENDED = f"{'waiting-task':_<36}", f"{'ended-task':_<36}"
_STREAMS = ("text/event-stream", "multipart/mixed")


@dataclass(frozen=True)
class Answer:
    """An HTTP response; the body of a stream is left out."""

    status: int
    media_type: str
    body: bytes


@dataclass(frozen=True)
class Target:
    """One API process.

    Attributes:
        waiting: the id of a task that no worker runs.
        ended: the id of a canceled task.
    """

    port: int
    process: psutil.Process
    log: Path
    waiting: str = WAITING
    ended: str = ENDED

    def with_ids(self, text: bytes) -> bytes:
        """Replace the placeholders by ids; the length does not change."""
        text = text.replace(WAITING.encode(), self.waiting.encode())
        return text.replace(ENDED.encode(), self.ended.encode())

    def exchange(self, request: bytes, method: str = "POST", *, is_whole: bool = True) -> Answer:
        """Send bytes, and read the response to the first request in them.

        Raises:
            TimeoutError: the API sends nothing.
            http.client.HTTPException: the API does not answer with HTTP.
        """
        with socket.create_connection((HOST, self.port), timeout=READ_S) as peer:
            with suppress(OSError):  # the API may respond before it has read everything
                peer.sendall(self.with_ids(request))
                if not is_whole:
                    peer.shutdown(socket.SHUT_WR)
            answer = HTTPResponse(peer, method=method)
            answer.begin()
            media_type = answer.getheader("content-type", "").partition(";")[0]
            body = b"" if media_type in _STREAMS else answer.read()
            return Answer(answer.status, media_type, body)

    def get(self, path: str) -> Answer:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
            f"Authorization: Bearer {METRICS_TOKEN}\r\n\r\n"
        )
        return self.exchange(request.encode(), "GET")

    def post(self, operation: str) -> dict[str, Any]:
        """Run an operation as a usual client does, and return the response."""
        body = json.dumps({"query": operation}).encode()
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        answer = self.exchange(head.encode() + body)
        assert answer.status == 200, answer
        return graphql_of(answer.body)

    def gauges(self) -> tuple[float, ...]:
        """Return the number of live subscriptions, and of open sockets and streams."""
        families = text_string_to_metric_families(self.get("/metrics").body.decode())
        values = {family.name: family.samples[0].value for family in families if family.samples}
        return values["celeryql_live_subscriptions"], values["celeryql_open_sockets"]

    def rss(self) -> int:
        """Return the resident memory of the API in bytes."""
        resident: int = self.process.memory_info().rss
        return resident


def graphql_of(body: bytes | str) -> dict[str, Any]:
    """Parse a GraphQL response, and check its form and that its errors are expected ones."""
    answer = json.loads(body)
    assert isinstance(answer, dict), answer
    assert answer.keys() <= {"data", "errors", "extensions"}, answer
    assert answer.get("errors", [None]) != [], answer
    assert "data" in answer or "errors" in answer, answer
    assert_expected(answer.get("errors", []))
    return answer


def assert_expected(errors: list[dict[str, Any]]) -> None:
    """Check that every error has a message and one of our codes except INTERNAL."""
    for error in errors:
        assert isinstance(error["message"], str), error
        assert error["extensions"]["code"] in set(ErrorCode) - {ErrorCode.INTERNAL}, error

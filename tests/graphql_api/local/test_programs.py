"""The programs' command lines, and the checks that they are ready and work."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from graphql_api.local import programs
from graphql_api.local.processes import Program
from graphql_api.local.redis_server import EmbeddedRedis, private_redis, reserve_port

HOST = "127.0.0.1"


async def is_ready(program: Program) -> bool:
    assert callable(program.ready)
    return await program.ready()


@asynccontextmanager
async def http_server(status: str, body: str = "") -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            closing(writer),
            suppress(asyncio.IncompleteReadError),
        ):  # the client may have disconnected
            request = await reader.readuntil(b"\r\n\r\n")
            is_right = request.startswith(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n")
            answer = f"{status if is_right else '400 Bad Request'}\r\n\r\n{body}"
            writer.write(f"HTTP/1.1 {answer}".encode())

    async with await asyncio.start_server(answer, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("status", "ready"), [("200 OK", True), ("503 Unavailable", False)])
async def test_the_api_is_ready_when_its_check_says_so(status: str, ready: bool) -> None:
    async with http_server(status) as port:
        assert await is_ready(programs.api(HOST, port, {})) is ready


async def test_the_api_is_not_ready_before_it_listens() -> None:
    assert not await is_ready(programs.api(HOST, reserve_port(), {}))


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        ("200 OK", '{"status": "ready"}', None),
        ("503 Unavailable", '{"status": "Redis does not answer"}', None),  # a restart does not help
        ("503 Unavailable", "Service Unavailable", None),  # uvicorn's answer to too many clients
        ("503 Unavailable", '{"status": "cannot sweep (Redis answers with an error)"}', None),
        ("503 Unavailable", '{"status": "cannot sweep (KeyError)"}', "cannot sweep (KeyError)"),
    ],
)
async def test_the_problem_of_the_api_is_the_status_that_it_reports(
    status: str, body: str, problem: str | None
) -> None:
    async with http_server(status, body) as port:
        program = programs.api(HOST, port, {})
        assert program.find_problem is not None
        assert await program.find_problem() == problem


async def test_an_api_that_does_not_answer_has_a_problem() -> None:
    find_problem = programs.api(HOST, reserve_port(), {}).find_problem

    assert find_problem is not None
    assert await find_problem() == "has not answered for 10 s"


async def test_the_mail_catcher_is_ready_when_it_listens(tmp_path: Path) -> None:
    async with http_server("") as port:
        assert await is_ready(programs.mail_catcher(port, tmp_path))
    assert not await is_ready(programs.mail_catcher(port, tmp_path))


async def test_redis_is_ready_when_it_answers(tmp_path: Path) -> None:
    with private_redis(tmp_path) as url:
        server = programs.redis_server(EmbeddedRedis(url, (), tmp_path))
        assert await is_ready(server)
    assert not await is_ready(server)


def test_a_worker_is_ready_when_it_says_so() -> None:
    ready = programs.worker("celery", {"REDIS_URL": "redis://nowhere"}).ready

    assert isinstance(ready, re.Pattern)
    assert ready.search("11:15:11 [info     ] celery@some-host ready.")
    assert ready.search('{"level": "info", "event": "celery@some-host ready.", "logger": "l"}')
    assert not ready.search("[2026-01-01 00:00:00,000: INFO/MainProcess] Connected to redis://")


def test_only_the_solo_worker_has_no_children() -> None:
    solo = [
        queue
        for queue in programs.WORKER_OPTIONS
        if "--pool=solo" in programs.worker(queue, {"REDIS_URL": "redis://nowhere"}).argv
    ]

    assert solo == ["ml_service"]


def test_no_command_line_shows_a_password(tmp_path: Path) -> None:
    environment = {"REDIS_URL": "redis://:geheim@host"}
    described = [
        programs.api(HOST, 8000, environment),
        *(programs.worker(queue, environment) for queue in programs.WORKER_OPTIONS),
    ]

    assert not any("geheim" in part for program in described for part in program.argv)

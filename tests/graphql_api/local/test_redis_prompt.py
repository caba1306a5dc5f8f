"""`./dev redis` prints what redis-cli prints."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from redis.exceptions import ResponseError

from graphql_api.local import redis_prompt as prompt
from graphql_api.local.redis_server import private_redis

Ask = Callable[..., str]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with private_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def ask(url: str, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*words: str) -> str:
        assert prompt.main(url, list(words)) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("reply", "lines"),
    [
        (None, ["(nil)"]),
        (7, ["(integer) 7"]),
        (b"OK", ["OK"]),
        (b'a "b"\n\x00\xe9', [r'"a \"b\"\n\x00\xe9"']),
        ([], ["(empty array)"]),
        (ResponseError("WRONGTYPE no"), ["(error) WRONGTYPE no"]),
        (ResponseError("no", status_code="ERR"), ["(error) ERR no"]),
        ([b"a", [1, [None]]], ['1) "a"', "2) 1) (integer) 1", "   2) 1) (nil)"]),
    ],
)
def test_a_reply_looks_as_in_redis_cli(reply: object, lines: list[str]) -> None:
    assert prompt.render(reply) == lines


def test_the_numbers_of_a_long_array_line_up() -> None:
    lines = prompt.render([1] * 10)

    assert lines[0] == " 1) (integer) 1"
    assert lines[9] == "10) (integer) 1"


def test_a_command_on_the_command_line_is_run_once(ask: Ask) -> None:
    ask("RPUSH", "list", "one", "two words")

    assert ask("lrange", "list", "0", "-1") == '1) "one"\n2) "two words"\n'


def test_a_hash_is_an_array_of_names_and_values(ask: Ask) -> None:
    ask("HSET", "hash", "name", "value")

    assert ask("HGETALL", "hash") == '1) "name"\n2) "value"\n'


def test_statuses_and_reports_are_not_quoted(ask: Ask) -> None:
    ask("SET", "text", "value")

    assert ask("TYPE", "text") == "string\n"
    assert ask("INFO", "server").startswith("# Server\r\nredis_version:")


def test_an_error_is_printed_as_a_reply(ask: Ask) -> None:
    assert ask("NONSENSE").startswith("(error) ERR unknown command")


def test_commands_can_be_piped_in(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('SET a "b c"\n\nGET "a\nGET a\nquit\nGET a\n'))

    assert ask() == 'OK\nInvalid argument(s)\n"b c"\n'


def test_without_redis_the_message_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert prompt.main("redis://:geheim@127.0.0.1:1/0", ["PING"]) == 1

    error = capsys.readouterr().err
    assert "start ./dev up or set REDIS_URL" in error
    assert "geheim" not in error


def test_a_closed_connection_is_reported(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("CLIENT KILL SKIPME no\nPING\n"))

    assert prompt.main(url, []) == 1

    assert "Redis closed the connection" in capsys.readouterr().err

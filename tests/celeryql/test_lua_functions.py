"""The library of Lua functions: what it is made of, and how it gets into Redis."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from redis import Redis
from redis import asyncio as aioredis
from redis.exceptions import OutOfMemoryError, ResponseError

from celeryql.errors import BadSettings
from celeryql.lua_functions import (
    FOLDER,
    Library,
    bundle,
    call,
    call_async,
    encode_request,
    library,
    load_at_start,
)
from celeryql.settings import Settings
from graphql_api.local.redis_server import private_redis, start, stop, write_config

HISTORY = ("a task that is not there", "0", "0", "1")
LIBRARIES = "celeryql:libraries"
# What Redis gives to every script, and the one name that `lua_functions.py` adds.
GLOBALS = {"cjson", "ipairs", "math", "pairs", "pcall", "redis", "require", "string", "table",
           "tonumber", "type", "unpack"}  # fmt: skip
GET_GLOBAL, SET_GLOBAL = 5, 7  # opcodes of Lua 5.1


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A server of its own, because functions belong to the whole server."""
    with private_redis(tmp_path) as url, Redis.from_url(url, decode_responses=True) as client:
        yield client


def other_release(folder: Path) -> Library:
    """Make the library of a release with another source."""
    shutil.copytree(FOLDER, folder)
    with (folder / "library.lua").open("a") as file:
        file.write("-- Another release.\n")
    return bundle(folder)


def test_a_call_loads_a_library_that_redis_does_not_have(own_redis):
    first = call(own_redis, "read_history", *HISTORY)
    own_redis.function_flush()

    assert (first, call(own_redis, "read_history", *HISTORY)) == ([None, []], [None, []])


async def test_an_asynchronous_call_loads_it_as_well(own_redis):
    url = "redis://:{password}@{host}:{port}".format(**own_redis.get_connection_kwargs())
    async with aioredis.Redis.from_url(url, decode_responses=True) as client:
        first = await call_async(client, "read_history", *HISTORY)
        own_redis.function_flush()

        assert (first, await call_async(client, "read_history", *HISTORY)) == ([None, []],) * 2


def test_libraries_of_two_releases_work_side_by_side(own_redis, tmp_path):
    other = other_release(tmp_path / "other")

    own_redis.function_load(other.source)
    call(own_redis, "read_history", *HISTORY)

    assert own_redis.fcall(other.function("read_history"), 0, *HISTORY) == [None, []]


def test_libraries_of_old_releases_are_deleted(own_redis):
    for n in range(6):
        own_redis.function_load(
            f"#!lua name=celeryql_{n}\nredis.register_function('f{n}', function() return {n} end)"
        )
        own_redis.lpush(LIBRARIES, f"celeryql_{n}")

    call(own_redis, "read_history", *HISTORY)

    kept = [library().name, "celeryql_5", "celeryql_4", "celeryql_3", "celeryql_2"]
    assert own_redis.lrange(LIBRARIES, 0, -1) == kept
    assert own_redis.fcall("f2", 0) == 2
    with pytest.raises(ResponseError, match="Function not found"):
        own_redis.fcall("f1", 0)


def test_a_full_redis_refuses_what_takes_memory_and_nothing_else(own_redis):
    held = encode_request(Settings(), worker="w@host", ids=[], tags=["tag"], lease_ms=1_000)
    call(own_redis, "take_message", "tag", "entry")

    own_redis.config_set("maxmemory", "1mb")

    with pytest.raises(OutOfMemoryError):
        call(own_redis, "push_message", '{"queue_list": "celery", "tag": "t"}', "{}")
    assert call(own_redis, "take_message", "other", "entry", "tag") > 0
    assert call(own_redis, "renew_leases", held) is None
    assert call(own_redis, "restore_message", "other", "new", "first", "{}", "celery") is None
    assert call(own_redis, "read_history", *HISTORY) == [None, []]
    assert own_redis.lrange("celery", 0, -1) == ["{}"]


def started(folder: Path, *lines: str) -> tuple[str, subprocess.Popen[bytes]]:
    """Start a server with more lines in its configuration."""
    server = write_config(folder)
    with (folder / "redis.conf").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
    return server.url, start(server)


def test_a_server_without_functions_is_refused_at_start(tmp_path):
    url, process = started(tmp_path, 'rename-command FUNCTION ""')
    try:
        with pytest.raises(BadSettings, match=r"^setting REDIS_URL: .* use Redis 7\.0 or newer"):
            load_at_start(url)
    finally:
        stop(process)


def test_a_user_who_may_not_load_functions_is_refused_at_start(own_redis):
    address = "{host}:{port}".format(**own_redis.get_connection_kwargs())
    own_redis.acl_setuser("ann", enabled=True, passwords=["+pw"], keys=["*"],
                          categories=["+@all", "-@scripting"])  # fmt: skip

    with pytest.raises(BadSettings, match="allow it FCALL, FUNCTION LOAD and FUNCTION DELETE"):
        load_at_start(f"redis://ann:pw@{address}")


@pytest.mark.parametrize("denied", ["-@dangerous", "-@admin"])
def test_a_user_without_dangerous_commands_may_load_them(own_redis, denied):
    address = "{host}:{port}".format(**own_redis.get_connection_kwargs())
    own_redis.acl_setuser("ann", enabled=True, passwords=["+pw"], keys=["*"],
                          categories=["+@all", denied])  # fmt: skip

    load_at_start(f"redis://ann:pw@{address}")

    assert own_redis.lrange(LIBRARIES, 0, -1) == [library().name]


def test_a_redis_that_does_not_answer_at_start_is_left_to_the_first_call():
    load_at_start("redis://127.0.0.1:1/0")


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.lua")), ids=lambda file: file.stem)
def test_no_file_uses_an_undeclared_name(empty_redis, file):
    read, written = globals_of(empty_redis, file.read_text())

    assert (read - GLOBALS, written) == (set(), set())


def test_an_undeclared_name_is_found_in_a_nested_function(empty_redis):
    text = "local known = {}\nreturn function() return function() made = known[lost] end end"

    assert globals_of(empty_redis, text) == ({"lost"}, {"made"})


def globals_of(redis: Redis, text: str) -> tuple[set[str], set[str]]:
    """Find the global names that a Lua text reads and writes, with the compiler of Redis."""
    dump = "return (string.gsub(string.dump(assert(loadstring(ARGV[1]))), '.', function(byte) "
    dump += "return string.format('%02x', string.byte(byte)) end))"
    return _globals(BytesIO(bytes.fromhex(redis.eval(dump, 0, text))[12:]))


def _globals(code: BytesIO) -> tuple[set[str], set[str]]:
    """Read one function of a compiled chunk (Lua 5.1, 64 bits), with those inside it."""

    def number(form: str = "i") -> int:
        found: int = struct.unpack(f"<{form}", code.read(struct.calcsize(f"<{form}")))[0]
        return found

    def string() -> str:
        return code.read(number("Q"))[:-1].decode()

    def constant() -> str | None:
        kind = number("b")
        if kind == 4:
            return string()
        code.read({0: 0, 1: 1, 3: 8}[kind])
        return None

    string(), code.read(12)  # its source, lines and sizes
    instructions = [number("I") for _ in range(number())]
    constants = [constant() for _ in range(number())]
    inner = [_globals(code) for _ in range(number())]
    code.read(4 * number())  # lines
    for _ in range(number()):  # local variables
        string(), code.read(8)
    for _ in range(number()):  # upvalues
        string()
    used = {
        opcode: {str(constants[i >> 14]) for i in instructions if i & 0x3F == opcode}
        for opcode in (GET_GLOBAL, SET_GLOBAL)
    }
    return (
        used[GET_GLOBAL].union(*(read for read, _ in inner)),
        used[SET_GLOBAL].union(*(written for _, written in inner)),
    )

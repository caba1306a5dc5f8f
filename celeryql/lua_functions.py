"""The Lua functions that write to Redis: each call happens at one instant, or not at all.

They are one library of Redis Functions, made of the files in `lua/`: `library.lua` lists what can
be called. The library's name holds a hash of its source, so processes of several releases share one
Redis. A call that finds the library missing loads it, for example after `FUNCTION FLUSH`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis import asyncio as aioredis
from redis.exceptions import NoPermissionError, ResponseError

from celeryql.errors import BadSettings
from celeryql.outages import OUTAGES
from celeryql.records import KEY
from celeryql.settings import Settings

SWEEP_PAUSE_S = 0.5  # what is due is sent well within a second
_SWEEP_LOCK_MS = 400  # below the pause, so that the process that swept last may sweep again

_START_TIMEOUT_S = 1.0
FOLDER = Path(__file__).with_name("lua")
_PREFIX = "celeryql_"
_LIBRARIES = f"{KEY}libraries"
_LIBRARIES_KEPT = 5  # in one Redis, each takes 0.3 MB; more than the releases that run at once
# Each file becomes a module that others name in `require`, as in any Lua program.
_REQUIRE = """
local sources, loaded = {}, {}
local function require(name)
  loaded[name] = loaded[name] or sources[name]()
  return loaded[name]
end
"""


@dataclass(frozen=True)
class Library:
    """The library of this release.

    Attributes:
        version: a hash of its source.
        source: as `FUNCTION LOAD` takes it.
    """

    version: str
    source: str

    @property
    def name(self) -> str:
        """The name of the library in Redis."""
        return _PREFIX + self.version

    def function(self, name: str) -> str:
        """Return the name in Redis of a function in `lua/functions/`."""
        return f"{name}_{self.version}"


@cache
def library() -> Library:
    """Return the library of this release."""
    return bundle(FOLDER)


def bundle(folder: Path) -> Library:
    """Put the files of a folder together to one library."""
    files = sorted([*folder.glob("modules/*.lua"), *folder.glob("functions/*.lua")])
    modules = {file.stem: file.read_text() for file in files}
    start = (folder / "library.lua").read_text()
    version = hashlib.sha256("\0".join([*modules.values(), start]).encode()).hexdigest()[:12]
    modules["version"] = f"return '{version}'\n"
    parts = [f"sources['{name}'] = function()\n{text}end\n" for name, text in modules.items()]
    source = f"#!lua name={_PREFIX}{version}\n{_REQUIRE}{''.join(parts)}{start}"
    return Library(version, source)


def call(client: Redis, name: str, *args: str) -> Any:
    """Call a function of the library, which is loaded first if Redis does not have it.

    Args:
        client: any client of Redis.
        name: of a file in `lua/functions/`, which says what it takes and returns.
        args: what it takes.
    """
    function = library().function(name)
    try:
        return client.fcall(function, 0, *args)
    except ResponseError as error:
        if not _is_missing(error):
            raise
    load(client)
    return client.fcall(function, 0, *args)


async def call_async(client: aioredis.Redis, name: str, *args: str) -> Any:
    """Do what `call` does, with an asynchronous client."""
    function = library().function(name)
    try:
        return await client.fcall(function, 0, *args)
    except ResponseError as error:
        if not _is_missing(error):
            raise
    await _load_async(client)
    return await client.fcall(function, 0, *args)


def _is_missing(error: ResponseError) -> bool:
    return str(error).startswith("Function not found")


def load(client: Redis) -> None:
    """Load the library, and delete those of old releases.

    A process that still uses a deleted library loads it again with its next call.
    """
    with _unless_present():
        client.function_load(library().source)
    with client.pipeline() as pipe:
        *_, old, _ = _note_newest(pipe).execute()
    for name in old:
        with suppress(ResponseError):  # another process has deleted it
            client.function_delete(name)


async def _load_async(client: aioredis.Redis) -> None:
    with _unless_present():
        await client.function_load(library().source)
    async with client.pipeline() as pipe:
        *_, old, _ = await _note_newest(pipe).execute()
    for name in old:
        with suppress(ResponseError):
            await client.function_delete(name)


@contextmanager
def _unless_present() -> Iterator[None]:
    """Ignore that another process has loaded the library meanwhile."""
    try:
        yield
    except ResponseError as error:
        if not str(error).endswith("already exists"):
            raise


def _note_newest(pipe: Any) -> Any:
    """Queue the commands that list this library as the newest, and read which ones are old."""
    name = library().name
    pipe.lrem(_LIBRARIES, 0, name).lpush(_LIBRARIES, name)
    return pipe.lrange(_LIBRARIES, _LIBRARIES_KEPT, -1).ltrim(_LIBRARIES, 0, _LIBRARIES_KEPT - 1)


def load_at_start(url: str) -> None:
    """Load the library when a process starts; if Redis does not answer, the first call does it.

    Raises:
        BadSettings: the server is too old, or its user may not load functions.
    """
    timeouts = {"socket_connect_timeout": _START_TIMEOUT_S, "socket_timeout": _START_TIMEOUT_S}
    with suppress(*OUTAGES), Redis.from_url(url, retry=None, **timeouts) as client:
        try:
            load(client)
        except NoPermissionError as error:
            reason = (
                "its user may not call functions: allow it FCALL, FUNCTION LOAD and FUNCTION DELETE"
            )
            raise BadSettings(f"setting REDIS_URL: {reason} ({error})") from error
        except ResponseError as error:
            if str(error).startswith("unknown command"):
                reason = "the server has no functions: use Redis 7.0 or newer, or Valkey"
                raise BadSettings(f"setting REDIS_URL: {reason}") from error
            raise


def encode_request(settings: Settings, **content: Any) -> str:
    """Encode the first argument of a function that writes records.

    Args:
        settings: the limits that functions keep to.
        content: what the function is to do; names whose value is None are left out.
    """
    limits = {
        "events_kept": str(settings.events_kept),
        "history_kept": settings.history_kept,
        "ttl_s": str(settings.result_expires),
        "lease_ms": settings.visibility_timeout * 1_000,
        "sweep_lock_ms": str(_SWEEP_LOCK_MS),
    }
    given = {name: value for name, value in content.items() if value is not None}
    return json.dumps({"limits": limits, **given})

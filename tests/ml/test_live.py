import logging
import os
import shutil
from pathlib import Path

import pytest

from ml.channels import Channel
from ml.corpus import Corpus
from ml.errors import ModelCorrupt, ModelNotTrained
from ml.features import SpamClassifier
from ml.live import LiveModel
from ml.manifest import Manifest, hashes_path, manifest_path
from ml.training import assess, cross_validate, split, train


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    shutil.copy(hashes_path(model_folder), tmp_path)
    return shutil.copytree(model_folder, tmp_path / model_folder.name)


def train_again(corpus: Corpus, folder: Path) -> Manifest:
    """Train a different model, by leaving out the last message."""
    smaller = Corpus(corpus.path, corpus.sha256, corpus.messages[:-1], corpus.duplicates)
    folds = list(cross_validate(split(smaller.messages), SpamClassifier()))
    return train(smaller, Channel.SMS, assess(folds, 0.002), 0.002, folder)


def test_the_same_model_is_not_loaded_twice(folder: Path):
    live = LiveModel(folder, Channel.SMS)

    assert live.current() is live.current()


def test_a_new_model_is_used_for_the_next_message(folder: Path, corpus: Corpus):
    live = LiveModel(folder, Channel.SMS)
    before = live.current().version

    manifest = train_again(corpus, folder)

    assert live.current().version == manifest.version != before


@pytest.mark.parametrize("damage", ["forged manifest", "altered model", "no manifest"])
def test_an_unusable_model_leaves_the_old_one_in_use(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: str
):
    live = LiveModel(folder, Channel.SMS)
    before = live.current()
    if damage == "forged manifest":
        manifest_path(folder).write_text("{}")
    elif damage == "no manifest":
        manifest_path(folder).unlink()
    else:
        (folder / before.version / "model.npz").write_bytes(b"altered")
        os.utime(manifest_path(folder))

    with caplog.at_level(logging.ERROR):
        assert [live.current(), live.current()] == [before, before]

    (record,) = caplog.records  # logged once, not for each message
    assert f"spam model {before.version} stays in use: " in record.getMessage()


def test_a_model_of_another_channel_is_refused(folder: Path):
    with pytest.raises(ModelCorrupt, match="it is for sms messages, not for email"):
        LiveModel(folder, Channel.EMAIL).current()


def test_a_repaired_model_is_loaded(folder: Path, corpus: Corpus):
    live = LiveModel(folder, Channel.SMS)
    live.current()
    manifest_path(folder).write_text("{}")
    live.current()

    manifest = train_again(corpus, folder)

    assert live.current().version == manifest.version


def test_a_first_failure_is_not_cached(model_folder: Path, tmp_path: Path):
    live = LiveModel(tmp_path / "sms", Channel.SMS)
    with pytest.raises(ModelNotTrained):
        live.current()

    shutil.copytree(model_folder, tmp_path / "sms")
    with pytest.raises(ModelCorrupt):  # its hash is not trusted yet
        live.current()

    shutil.copy(hashes_path(model_folder), tmp_path)
    assert live.current().version

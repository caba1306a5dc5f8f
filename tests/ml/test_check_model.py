"""The command that says whether a stored model can be used."""

import shutil
from pathlib import Path

import pytest

from ml.check_model import REFUSED, main
from ml.manifest import hashes_path


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "sms"
    shutil.copytree(model_folder, copied)
    shutil.copy(hashes_path(model_folder), hashes_path(copied))
    return copied


def test_a_model_that_training_wrote_can_be_used(folder: Path) -> None:
    assert main(folder) == 0


def test_a_model_of_another_release_is_refused_in_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes_path(folder).unlink()  # the first release wrote none

    assert main(folder) == REFUSED

    said = capsys.readouterr().err
    assert said.startswith(f"The spam model in {folder} is refused: ")
    assert len(said.splitlines()) == 1

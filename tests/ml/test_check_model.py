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


def test_a_trained_model_passes_the_check(folder: Path) -> None:
    assert main(folder) == 0


def test_a_model_of_another_release_is_refused_with_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes_path(folder).unlink()  # the first release did not write this file

    assert main(folder) == REFUSED

    stderr = capsys.readouterr().err
    assert stderr.startswith(f"The spam model in {folder} cannot be used: ")
    assert len(stderr.splitlines()) == 1

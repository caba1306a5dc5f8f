from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml.artefact import ExportedModel, ViewWeights, read_model
from ml.channels import Channel
from ml.errors import CannotWrite, ModelCorrupt
from ml.figures import Thresholds, measure
from ml.manifest import Manifest, Training, read_manifest, record_trusted_hash
from ml.storing import write_artefact

FIGURES = measure([True, False, False], [True, True, False])
TRAINING = Training(
    trained_at="2026-01-02T03:04:05+00:00",
    corpus="small.tsv",
    corpus_sha256="ab",
    ham=3,
    spam=2,
    duplicates=1,
    false_positive_rate=0.002,
    libraries={"numpy": "2"},
    at_spam_threshold=FIGURES,
    at_half=FIGURES,
)


def exported(intercept: float = -1.5) -> ExportedModel:
    return ExportedModel(
        words=ViewWeights(("free", "«phone»"), [1.0, 2.0], [0.1, 0.2]),
        characters=ViewWeights((" fr", "é "), [3.0, 4.0], [0.3, -0.4]),
        intercept=intercept,
        trained_on=[1, 2**64 - 1],
    )


def write(folder: Path, intercept: float = -1.5) -> Manifest:
    return write_artefact(
        folder,
        exported(intercept),
        b"pipeline",
        Channel.SMS,
        Thresholds(0.1, 0.4, unknown=0.3),
        [0.5],
        TRAINING,
    )


def test_reading_a_model_returns_what_was_written(tmp_path: Path):
    manifest = write(tmp_path / "sms")

    model = read_model(tmp_path / "sms", manifest)

    assert model.words.terms == ("free", "«phone»")
    assert model.characters.coefficients == [0.3, -0.4]
    assert (model.intercept, model.trained_on) == (-1.5, [1, 2**64 - 1])


def test_reading_a_manifest_returns_what_was_written(tmp_path: Path):
    manifest = write(tmp_path / "sms")

    assert read_manifest(tmp_path / "sms") == manifest


def test_the_same_model_gets_the_same_version(tmp_path: Path):
    assert write(tmp_path / "one").version == write(tmp_path / "two").version


def test_an_altered_model_file_is_refused(tmp_path: Path):
    manifest = write(tmp_path / "sms")
    file = tmp_path / "sms" / manifest.version / "model.npz"
    file.write_bytes(file.read_bytes()[:-1] + b"x")

    with pytest.raises(ModelCorrupt, match="is not the file that training wrote"):
        read_model(tmp_path / "sms", manifest)


def test_a_missing_model_file_is_refused(tmp_path: Path):
    manifest = write(tmp_path / "sms")
    (tmp_path / "sms" / manifest.version / "model.npz").unlink()

    with pytest.raises(ModelCorrupt, match="No such file"):
        read_model(tmp_path / "sms", manifest)


def test_training_again_repairs_an_altered_model(tmp_path: Path):
    manifest = write(tmp_path / "sms")
    (tmp_path / "sms" / manifest.version / "model.npz").write_bytes(b"altered")

    write(tmp_path / "sms")

    assert read_model(tmp_path / "sms", manifest).intercept == -1.5


def test_the_previous_model_stays_readable_with_the_previous_manifest(tmp_path: Path):
    old = write(tmp_path / "sms", intercept=1)

    write(tmp_path / "sms", intercept=2)

    assert read_model(tmp_path / "sms", old).intercept == 1


def test_only_the_last_two_versions_are_kept(tmp_path: Path):
    _, second, third = (write(tmp_path / "sms", intercept) for intercept in (1, 2, 3))

    folders = {path.name for path in (tmp_path / "sms").iterdir() if path.is_dir()}

    assert folders == {second.version, third.version}


def test_files_of_others_in_a_version_folder_are_kept(tmp_path: Path):
    first = write(tmp_path / "sms", intercept=1)
    notes = tmp_path / "sms" / first.version / "notes.txt"
    notes.write_text("mine")

    write(tmp_path / "sms", intercept=2)
    write(tmp_path / "sms", intercept=3)

    assert notes.read_text() == "mine"


def test_a_file_in_place_of_the_folder_raises_cannot_write(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(CannotWrite):
        write(tmp_path / "file")


def test_interrupted_trainings_leave_the_model_in_use(tmp_path: Path):
    manifest = write(tmp_path / "sms")

    for abandoned in (b"one", b"two"):  # a training is killed after this step
        record_trusted_hash(tmp_path / "sms", abandoned)

    assert read_manifest(tmp_path / "sms") == manifest


def test_training_the_same_model_again_keeps_the_previous_version(tmp_path: Path):
    first, second = (write(tmp_path / "sms", intercept) for intercept in (1, 2))

    write(tmp_path / "sms", intercept=2)

    folders = {path.name for path in (tmp_path / "sms").iterdir() if path.is_dir()}
    assert folders == {first.version, second.version}


def test_concurrent_trainings_leave_an_intact_model(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda intercept: write(tmp_path / "sms", intercept), range(24)))

    manifest = read_manifest(tmp_path / "sms")
    assert read_model(tmp_path / "sms", manifest).intercept in range(24)


def test_training_does_not_write_through_symlinks_in_the_folder(tmp_path: Path):
    (tmp_path / "sms").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    for name in (".lock", "manifest.json"):
        (tmp_path / "sms" / name).symlink_to(tmp_path / "mine.txt")

    write(tmp_path / "sms")

    assert (tmp_path / "mine.txt").read_text() == "mine"

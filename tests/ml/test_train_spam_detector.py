from pathlib import Path

import pytest

from ml.inference import SpamModel
from ml.manifest import read_manifest
from ml.train_spam_detector import main


def test_a_model_is_trained_and_written(corpus_file: Path, tmp_path: Path):
    assert main(["--data", str(corpus_file), "--out", str(tmp_path)]) == 0

    assert SpamModel.load(tmp_path).verdict("You have WON a holiday! Reply YES").label == "SPAM"


def test_training_prints_progress_metrics_and_the_folder(
    corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    main(["--data", str(corpus_file), "--out", str(tmp_path)])

    stdout = capsys.readouterr().out
    expected = ["5 of 5 folds", "precision", "recall", "F1", "MCC", f"written to {tmp_path}"]
    assert [word for word in expected if word not in stdout] == []


def test_a_missing_file_prints_one_sentence_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code = main(["--data", str(tmp_path / "none.tsv"), "--out", str(tmp_path)])

    error = f"{tmp_path}/none.tsv: it cannot be read (No such file or directory).\n"
    assert (code, capsys.readouterr().err) == (1, error)


def test_an_unwritable_folder_exits_with_1(corpus_file: Path):
    assert main(["--data", str(corpus_file), "--out", str(corpus_file)]) == 1


@pytest.mark.slow
def test_training_on_the_sms_corpus_reaches_the_promised_f1(tmp_path: Path):
    assert main(["--out", str(tmp_path)]) == 0

    training = read_manifest(tmp_path).training
    assert training.corpus_sha256.startswith("883079d805cda90c")
    assert min(training.at_spam_threshold.f1, training.at_half.f1) >= 0.955

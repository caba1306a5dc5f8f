import json
import subprocess
import sys
from pathlib import Path

import pytest

from ml.test_spam_detector import main


def test_a_message_gets_a_verdict_with_reasons(
    model_folder: Path, capsys: pytest.CaptureFixture[str]
):
    code = main(["--model", str(model_folder), "You have WON £1000 cash! Reply YES"])

    stdout = capsys.readouterr().out
    assert (code, stdout.startswith("SPAM   probability 0.")) == (0, True)
    assert "reasons: " in stdout


def test_classifying_messages_needs_no_corpus(
    model_folder: Path, capsys: pytest.CaptureFixture[str]
):
    main(["--model", str(model_folder), "Hello", "Lunch?"])

    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_training_corpus_is_scored_by_a_twin(
    model_folder: Path, corpus_file: Path, capsys: pytest.CaptureFixture[str]
):
    main(["--model", str(model_folder), "--data", str(corpus_file)])

    stdout = capsys.readouterr().out
    assert "A twin, trained on four\nfifths of them, scored the rest: 3 ham and 4 spam." in stdout


def test_only_messages_new_to_the_model_are_scored(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    more = tmp_path / "more.tsv"
    more.write_text(f"{corpus_file.read_text()}\nspam\tYou have WON two phones\nham\tTea at 5?\n")

    main(["--model", str(model_folder), "--data", str(more)])

    stdout = capsys.readouterr().out
    assert "1 ham and 1 spam are new to model" in stdout
    assert "(32 messages that it was trained on are left out)" in stdout


def test_metrics_can_be_printed_as_json(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    new = tmp_path / "new.tsv"
    new.write_text(
        "spam\tYou have WON two phones\nham\tTea at 5?\nham\tTea at 6, then\nham\ttea at 5\n"
    )

    code = main(["--model", str(model_folder), "--data", str(new), "--json"])

    found = json.loads(capsys.readouterr().out)
    assert (code, found["ham"], found["spam"], found["duplicates"]) == (0, 2, 1, 1)
    assert (found["roc_auc"], found["seen_in_training"], found["scored_by_twin"]) == (1.0, 0, False)
    counts = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    for name in ("at_spam_threshold", "at_half"):
        assert sum(found[name][count] for count in counts) == 3
        assert {"precision", "recall", "f1", "mcc"} < set(found[name])


def test_a_corpus_with_one_label_has_no_roc_auc(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "new.tsv").write_text("ham\tTea at 5?\n")

    code = main(["--model", str(model_folder), "--data", str(tmp_path / "new.tsv")])

    assert (code, "ROC-AUC undefined" in capsys.readouterr().out) == (0, True)


def test_a_missing_model_prints_how_to_train_one_and_exits_with_1(tmp_path: Path):
    command = [sys.executable, "-m", "ml.test_spam_detector", "--model", str(tmp_path), "Hello"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    command = f"python -m ml.train_spam_detector --out {tmp_path}"
    error = f"There is no spam model in {tmp_path}: run `{command}`.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", error)


def test_a_message_that_is_not_unicode_is_refused(
    model_folder: Path, capsys: pytest.CaptureFixture[str]
):
    code = main(["--model", str(model_folder), "\udcff"])

    assert (code, "lone surrogate" in capsys.readouterr().err) == (1, True)

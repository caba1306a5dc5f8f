import subprocess
import sys
from pathlib import Path

import pytest

from ml.test_spam_detector import main


def test_a_message_gets_a_verdict_with_reasons(
    model_folder: Path, capsys: pytest.CaptureFixture[str]
):
    code = main(["--model", str(model_folder), "You have WON £1000 cash! Reply YES"])

    said = capsys.readouterr().out
    assert (code, said.startswith("SPAM   probability 0.")) == (0, True)
    assert "because of" in said


def test_messages_alone_need_no_corpus(model_folder: Path, capsys: pytest.CaptureFixture[str]):
    main(["--model", str(model_folder), "Hello", "Lunch?"])

    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_corpus_that_the_model_has_seen_is_scored_by_a_twin(
    model_folder: Path, corpus_file: Path, capsys: pytest.CaptureFixture[str]
):
    main(["--model", str(model_folder), "--data", str(corpus_file)])

    assert "7 held-out messages, scored by the twin" in capsys.readouterr().out


def test_of_another_file_only_the_new_messages_are_scored(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    more = tmp_path / "more.tsv"
    more.write_text(f"{corpus_file.read_text()}\nspam\tYou have WON two phones\nham\tTea at 5?\n")

    main(["--model", str(model_folder), "--data", str(more)])

    said = capsys.readouterr().out
    assert "2 messages are new to model" in said
    assert "(32 are not)" in said


def test_a_missing_model_says_how_to_train_one_and_fails(tmp_path: Path):
    command = [sys.executable, "-m", "ml.test_spam_detector", "--model", str(tmp_path), "Hello"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    error = f"There is no spam model in {tmp_path}: run `python -m ml.train_spam_detector`.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", error)


def test_a_message_that_is_not_unicode_is_refused(
    model_folder: Path, capsys: pytest.CaptureFixture[str]
):
    code = main(["--model", str(model_folder), "\udcff"])

    assert (code, "lone surrogate" in capsys.readouterr().err) == (1, True)

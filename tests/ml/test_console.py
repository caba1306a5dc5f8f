import argparse
import io
import sys
from pathlib import Path

import pytest

from ml.channels import Channel
from ml.console import add_channel, load_corpus, run, say, say_metrics
from ml.errors import BadCorpus, CorpusUnavailable
from ml.figures import Metrics


def interrupt() -> None:
    raise KeyboardInterrupt


def fail() -> None:
    raise CorpusUnavailable("no network")


def test_an_expected_error_prints_one_line_and_exits_with_1(capsys: pytest.CaptureFixture[str]):
    assert run(fail) == 1

    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_exits_without_a_traceback(capsys: pytest.CaptureFixture[str]):
    assert run(interrupt) == 130

    assert capsys.readouterr().err == ""


def test_a_character_the_terminal_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)

    say("«phone»")

    assert terminal.buffer.getvalue() == b"\\xabphone\\xbb\n"


def test_a_successful_command_exits_with_0():
    assert run(lambda: None) == 0


def test_an_unexpected_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_metrics_print_one_line_and_the_confusion_table(capsys: pytest.CaptureFixture[str]):
    metrics = Metrics(1640, 10, 20, 4330, 0.99394, 0.98795, 0.9909, 0.9875, 0.0023)

    say_metrics(metrics, "At the threshold of SPAM:")

    assert capsys.readouterr().out == (
        "  At the threshold of SPAM:                    precision 0.994  recall 0.988  "
        "F1 0.991  MCC 0.988  false positives 0.23%\n"
        "    ham: 4,330 let through, 10 caught    spam: 20 let through, 1,640 caught\n"
    )


def test_loading_a_corpus_prints_its_counts(corpus_file: Path, capsys: pytest.CaptureFixture[str]):
    corpus = load_corpus(corpus_file, Channel.SMS)

    assert (corpus.ham, corpus.spam) == (16, 16)
    assert capsys.readouterr() == (
        "Corpus small.tsv: 16 ham and 16 spam, 0 duplicates removed\n",
        "",
    )


def test_quiet_loading_prints_nothing(corpus_file: Path, capsys: pytest.CaptureFixture[str]):
    load_corpus(corpus_file, Channel.EMAIL, quiet=True)

    assert capsys.readouterr() == ("", "")


def test_a_missing_file_does_not_fall_back_to_the_default_corpus(tmp_path: Path):
    with pytest.raises(BadCorpus, match="No such file"):
        load_corpus(tmp_path / "missing.tsv", Channel.SMS)


@pytest.mark.parametrize(
    ("argv", "channel"),
    [([], Channel.SMS), (["--channel", "sms"], Channel.SMS), (["--channel=email"], Channel.EMAIL)],
)
def test_the_channel_option_selects_a_channel(argv: list[str], channel: Channel):
    parser = argparse.ArgumentParser()
    add_channel(parser)

    assert parser.parse_args(argv).channel is channel


def test_an_unknown_channel_is_refused_with_the_valid_ones(capsys: pytest.CaptureFixture[str]):
    parser = argparse.ArgumentParser()
    add_channel(parser)

    with pytest.raises(SystemExit):
        parser.parse_args(["--channel", "fax"])

    assert "sms" in capsys.readouterr().err

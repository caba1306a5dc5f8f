import io
import sys

import pytest

from ml.console import run, say
from ml.errors import CorpusUnavailable


def interrupt() -> None:
    raise KeyboardInterrupt


def fail() -> None:
    raise CorpusUnavailable("no network")


def test_an_expected_error_is_one_line_and_a_failure(capsys: pytest.CaptureFixture[str]):
    assert run(fail) == 1

    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_ends_without_a_traceback(capsys: pytest.CaptureFixture[str]):
    assert run(interrupt) == 130

    assert capsys.readouterr().err == ""


def test_a_terminal_that_lacks_a_character_gets_its_code(monkeypatch: pytest.MonkeyPatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)

    say("«phone»")

    assert terminal.buffer.getvalue() == b"\\xabphone\\xbb\n"

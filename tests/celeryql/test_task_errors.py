"""Exceptions of task bodies keep their name and text, in a form that Celery can report."""

from __future__ import annotations

import pickle

import pytest
from celery.exceptions import Ignore, Retry

from celeryql.task_errors import ReportableError, Retryable, make_reportable


class Declined(ValueError):
    """Passes only one of its two arguments on, so unpickling it fails."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Mute(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError


class Busy(Retryable):
    """Takes other arguments than a text."""

    def __init__(self, service: str, code: int) -> None:
        super().__init__(f"{service}: {code}")


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), FileNotFoundError(2, "none", "/x"), KeyError("k"), Ignore(), Retry("later")],
    ids=repr,
)
def test_an_exception_that_celery_can_report_stays_itself(error):
    assert make_reportable(error) is error


@pytest.mark.parametrize(
    ("error", "name", "text"),
    [
        (SystemExit("cannot go on"), "SystemExit", "cannot go on"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (MemoryError("too much"), "MemoryError", "too much"),
        (Declined("no funds", 51), "Declined", "no funds"),
        (ExceptionGroup("two", [Declined("no", 1)]), "ExceptionGroup", "two (1 sub-exception)"),
        (type("Local", (Exception,), {})("here"), "Local", "here"),
        (type("Missing", (KeyError,), {})("a\udc80"), "Missing", "a?"),
        (type("Mute", (Mute,), {})(), "Mute", "Mute has no text: its __str__ raised RuntimeError"),
    ],
    ids=repr,
)
def test_any_other_exception_is_replaced_with_its_name_and_text(error, name, text):
    reported = pickle.loads(pickle.dumps(make_reportable(error)))

    assert isinstance(reported, ReportableError)
    assert (reported.name, str(reported), repr(reported)) == (name, text, f"{name}({text!r})")
    assert not reported.is_retryable


def test_a_replaced_retryable_error_is_still_retryable():
    reported = make_reportable(Busy("printer", 3))

    assert isinstance(reported, ReportableError)
    assert (reported.name, reported.text, reported.is_retryable) == ("Busy", "printer: 3", True)

"""What a body raised keeps its name and text; what Celery can hand on is left as it is."""

from __future__ import annotations

import pickle

import pytest
from celery.exceptions import Ignore, Retry

from celeryql.worker.raised import Raised, handed_on
from celeryql.worker.retryable import Retryable


class Declined(ValueError):
    """Hands on one of its two arguments."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Mute(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


class Busy(Retryable):
    """Takes no text."""

    def __init__(self, service: str, code: int) -> None:
        super().__init__(f"{service}: {code}")


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), FileNotFoundError(2, "none", "/x"), KeyError("k"), Ignore(), Retry("later")],
    ids=repr,
)
def test_what_celery_can_hand_on_is_handed_on_itself(error):
    assert handed_on(error) is error


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
def test_anything_else_is_handed_on_by_its_name_and_text(error, name, text):
    stored = pickle.loads(pickle.dumps(handed_on(error)))

    assert isinstance(stored, Raised)
    assert (stored.name, str(stored), repr(stored)) == (name, text, f"{name}({text!r})")
    assert not stored.is_retryable


def test_a_failure_that_asked_for_another_run_still_says_so():
    stored = handed_on(Busy("printer", 3))

    assert isinstance(stored, Raised)
    assert (stored.name, stored.text, stored.is_retryable) == ("Busy", "printer: 3", True)

"""Spam detection, called as any Celery user calls it."""

from __future__ import annotations

import pytest

from ml.errors import ModelNotTrained
from tasks.engine.errors import InvalidArguments
from tasks.engine.settings import load_settings
from tasks.spam import SpamLabel, SpamVerdict, detect_spam

PRIZE = "URGENT! You have won a 1 week FREE membership in our 100000 prize jackpot! Txt CLAIM"


@pytest.fixture
def worker(celery_workers):
    celery_workers("ml_service")


@pytest.fixture
def use_models(monkeypatch):
    """Have this process take its models from a folder."""

    def use(folder):
        monkeypatch.setenv("MODEL_DIR", str(folder))
        load_settings.cache_clear()

    yield use
    load_settings.cache_clear()


@pytest.mark.slow
def test_spam_is_detected(worker):
    verdict = detect_spam.delay(PRIZE).get(timeout=20)

    assert verdict["label"] == "SPAM"
    assert verdict["spam_probability"] > 0.9 > verdict["threshold"] > 0
    assert verdict["truncated"] is False
    assert {type(reason["term"]) for reason in verdict["reasons"]} == {str}
    assert sorted(verdict) == [
        "label", "model_version", "reasons", "spam_probability", "threshold", "truncated",
    ]  # fmt: skip


@pytest.mark.slow
def test_ham_is_let_through(worker):
    assert detect_spam.delay(message="See you at lunch, mum").get(timeout=20)["label"] == "HAM"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("", "detect_spam: message: String should have at least 1 character"),
        ("x" * 8_193, "detect_spam: message: String should have at most 8192 characters"),
    ],
    ids=["empty", "too long"],
)
def test_a_message_out_of_bounds_is_refused(worker, message, problem):
    with pytest.raises(InvalidArguments) as caught:
        detect_spam.delay(message).get(timeout=20)

    assert str(caught.value) == problem


@pytest.mark.slow
def test_detect_spam_called_directly_gives_the_typed_verdict(use_models, model_dir):
    use_models(model_dir)

    verdict = detect_spam(PRIZE)

    assert isinstance(verdict, SpamVerdict)
    assert verdict.label is SpamLabel.SPAM


def test_without_a_model_the_failure_says_how_to_train_one(use_models, tmp_path):
    use_models(tmp_path)

    with pytest.raises(ModelNotTrained, match=r"python -m ml\.train_spam_detector"):
        detect_spam("hello")

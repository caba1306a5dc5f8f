"""Test the spam detection tasks through plain Celery calls."""

from __future__ import annotations

import pytest

from celeryql.errors import InvalidArguments
from ml.errors import ModelNotTrained
from tasks.settings import load_settings
from tasks.spam import SpamChannel, SpamLabel, SpamVerdict, detect_spam, detect_spam_batch

PRIZE = "URGENT! You have won a 1 week FREE membership in our 100000 prize jackpot! Txt CLAIM"
LUNCH = "See you at lunch, mum"


@pytest.fixture
def worker(celery_workers):
    celery_workers("ml_service")


@pytest.fixture
def use_models(monkeypatch):
    """Configure the model folder of this process."""

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
    assert (verdict["truncated"], verdict["out_of_domain"]) == (False, False)
    assert {type(reason["term"]) for reason in verdict["reasons"]} == {str}
    assert sorted(verdict) == [
        "label", "model_version", "out_of_domain", "reasons", "spam_probability", "threshold",
        "truncated",
    ]  # fmt: skip


@pytest.mark.slow
def test_ham_is_recognized(worker):
    assert detect_spam.delay(message=LUNCH).get(timeout=20)["label"] == "HAM"


@pytest.mark.slow
def test_a_text_in_another_script_is_out_of_domain(worker):
    text = "你好，最近怎么样？明天晚上八点在电影院门口等你，别忘了带票"  # noqa: RUF001

    assert detect_spam.delay(text).get(timeout=20)["out_of_domain"] is True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("", "detect_spam: message: String should have at least 1 character"),
        ("x" * 8_193, "detect_spam: message: String should have at most 8192 characters"),
    ],
    ids=["empty", "too long"],
)
def test_a_message_of_invalid_length_is_refused(worker, message, problem):
    with pytest.raises(InvalidArguments) as caught:
        detect_spam.delay(message).get(timeout=20)

    assert str(caught.value) == problem


@pytest.mark.slow
def test_a_batch_returns_one_verdict_a_message_in_order(worker):
    labels = [v["label"] for v in detect_spam_batch.delay([PRIZE, LUNCH] * 500).get(timeout=60)]

    assert labels == ["SPAM", "HAM"] * 500


@pytest.mark.slow
@pytest.mark.parametrize(
    "messages", [[], [LUNCH] * 1_001, [LUNCH, ""]], ids=["0", "1,001", "empty"]
)
def test_an_invalid_batch_is_refused(worker, messages):
    with pytest.raises(InvalidArguments, match="detect_spam_batch: messages"):
        detect_spam_batch.delay(messages).get(timeout=20)


@pytest.mark.slow
def test_a_direct_call_of_detect_spam_returns_a_typed_verdict(use_models, model_dir):
    use_models(model_dir)

    verdict = detect_spam(PRIZE)

    assert isinstance(verdict, SpamVerdict)
    assert verdict.label is SpamLabel.SPAM


def test_errors_of_the_model_survive_the_result_backend(tmp_path):
    error = ModelNotTrained(tmp_path / "sms")
    backend = detect_spam.app.backend

    stored = backend.decode(backend.encode(backend.prepare_exception(error)))

    assert str(backend.exception_to_python(stored)) == str(error)


@pytest.mark.parametrize(
    ("channel", "command"),
    [
        (SpamChannel.SMS, r"`python -m ml\.train_spam_detector --out .*/sms`"),
        (SpamChannel.EMAIL, r"`python -m ml\.train_spam_detector --channel email --out .*/email`"),
    ],
)
def test_a_missing_model_fails_with_the_command_that_trains_one(
    use_models, tmp_path, channel, command
):
    use_models(tmp_path)

    with pytest.raises(ModelNotTrained, match=command):
        detect_spam("hello", channel)

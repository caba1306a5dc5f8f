from pathlib import Path

import pytest

from ml.channels import Channel
from ml.inference import SpamModel
from ml.manifest import read_manifest
from ml.train_spam_detector import main

SOURCE = """\
From: Prizes <prizes@example.com>
Subject: =?utf-8?b?WW91IGhhdmUgd29u?=
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><body><p>Claim your <b>free</b> money today, offer {}</p></body></html>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mails = tmp_path_factory.mktemp("mails")
    for number, word in enumerate(
        ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    ):
        for name, text in (
            ("spam", SOURCE.format(word)),
            ("ham", f"Subject: Lunch {word}\n\nAt one?"),
        ):
            (mails / name).mkdir(exist_ok=True)
            (mails / name / str(number)).write_text(text)
    out = tmp_path_factory.mktemp("models") / "email"
    assert main(["--channel", "email", "--data", str(mails), "--out", str(out)]) == 0
    return out


def test_a_model_knows_its_channel(folder: Path):
    assert read_manifest(folder).channel is Channel.EMAIL


def test_an_email_can_be_passed_as_source_or_as_text(folder: Path):
    model = SpamModel.load(folder)

    by_source = model.verdict(SOURCE.format("beta"))
    by_text = model.verdict("You have won\n\nClaim your free money today, offer beta")

    assert by_source == by_text
    assert by_source.label == "SPAM"


def test_windows_are_shorter_than_the_text_that_is_read():
    for channel in Channel:
        assert 0 < channel.recipe.window_characters <= channel.recipe.training_characters <= 8_192

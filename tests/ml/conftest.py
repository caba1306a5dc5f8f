"""Provide a small corpus and a model trained on it in 0.2 s."""

from pathlib import Path

import pytest

from ml.channels import Channel
from ml.corpus import Corpus
from ml.features import SpamClassifier
from ml.inference import SpamModel
from ml.reading import read_corpus
from ml.training import assess, cross_validate, split, train

PRIZES = ["a holiday", "£1000 cash", "a new phone", "free tickets"]
CALLS = ["Call 08712223344 now", "Text WIN to 80086", "Visit www.prizes.example.com", "Reply YES"]
PLACES = ["the office", "the pub", "your place", "the station"]
PLANS = ["Lunch", "Dinner", "Meeting mum", "A quick chat"]


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spam = [f"spam\tYou have WON {prize}! {call}" for prize in PRIZES for call in CALLS]
    ham = [f"ham\t{plan} at {place}?" for plan in PLANS for place in PLACES]
    file = tmp_path_factory.mktemp("corpus") / "small.tsv"
    file.write_text("\n".join(spam + ham), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def corpus(corpus_file: Path) -> Corpus:
    return read_corpus(corpus_file)


@pytest.fixture(scope="session")
def model_folder(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "sms"
    folds = list(cross_validate(split(corpus.messages), SpamClassifier()))
    train(corpus, Channel.SMS, assess(folds, 0.002), 0.002, folder)
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> SpamModel:
    return SpamModel.load(model_folder)

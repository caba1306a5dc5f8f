from pathlib import Path

import joblib
import pytest

from ml.artefact import read_model
from ml.corpus import Corpus, fingerprint
from ml.features import SpamClassifier
from ml.manifest import read_manifest
from ml.training import Scored, assess, cross_validate, split


def test_each_message_is_scored_once_by_a_model_not_trained_on_it(corpus: Corpus):
    folds = split(corpus.messages)

    held_out = [message for _, test in folds for message in test]
    assert sorted(held_out, key=str) == sorted(corpus.messages, key=str)
    assert not any(set(train) & set(test) for train, test in folds)


def test_the_split_is_reproducible(corpus: Corpus):
    assert split(corpus.messages) == split(corpus.messages)


def test_folds_have_equal_shares_of_spam(corpus: Corpus):
    assert {sum(message.is_spam for message in test) for _, test in split(corpus.messages)} == {
        3,
        4,
    }


def test_cross_validation_scores_the_whole_corpus(corpus: Corpus):
    folds = list(cross_validate(split(corpus.messages), SpamClassifier()))

    assert sum(sum(fold.is_spam) for fold in folds) == 16
    assert sum(len(fold.probabilities) for fold in folds) == 32


def test_the_metrics_of_a_fold_use_the_threshold_of_the_others():
    lenient = Scored(is_spam=(False, True), probabilities=(0.1, 0.3), unknown=(0, 0.4))
    strict = Scored(is_spam=(False, True), probabilities=(0.6, 0.9), unknown=(0.1, 0.2))

    assessment = assess([lenient, strict], 0.002)

    assert assessment.thresholds.spam == pytest.approx(0.75)
    assert assessment.at_spam_threshold.recall == 0.5  # 0.3 misses the 0.75 of the other fold
    assert assessment.at_spam_threshold.false_positive_rate == 0.5  # 0.6 reaches the other's 0.2


def test_a_higher_false_positive_rate_gives_a_lower_threshold(corpus: Corpus):
    folds = list(cross_validate(split(corpus.messages), SpamClassifier()))

    strict, lenient = (assess(folds, rate).thresholds.spam for rate in (0.0, 0.3))

    assert lenient < strict


def test_the_out_of_domain_threshold_is_exceeded_by_one_percent():
    folds = [
        Scored((False,) * 100, (0.1,) * 100, tuple((2 * each + odd) / 200 for each in range(100)))
        for odd in (0, 1)
    ]

    assert assess(folds, 0.002).thresholds.unknown == pytest.approx(0.9875)


def test_the_model_records_fingerprints_of_its_training_messages(
    model_folder: Path, corpus: Corpus
):
    model = read_model(model_folder, read_manifest(model_folder))

    assert set(model.trained_on) == {fingerprint(m.text) for m in corpus.messages}


def test_the_stored_pipeline_accepts_raw_messages(model_folder: Path):
    version = read_manifest(model_folder).version

    pipeline = joblib.load(model_folder / version / "model.joblib")

    assert pipeline.predict(["You have WON free tickets! Reply YES"]).tolist() == [True]

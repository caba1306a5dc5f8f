from pathlib import Path

import joblib
import pytest

from ml.artefact import read_manifest, read_model
from ml.corpus import Corpus, fingerprint
from ml.training import Scored, assess, cross_validate, split


def test_each_message_is_held_out_once_and_never_scored_by_its_own_model(corpus: Corpus):
    folds = split(corpus)

    held_out = [message for _, test in folds for message in test]
    assert sorted(held_out, key=str) == sorted(corpus.messages, key=str)
    assert not any(set(train) & set(test) for train, test in folds)


def test_the_split_is_the_same_each_time(corpus: Corpus):
    assert split(corpus) == split(corpus)


def test_each_fold_has_its_share_of_spam(corpus: Corpus):
    assert {sum(message.is_spam for message in test) for _, test in split(corpus)} == {3, 4}


def test_cross_validation_scores_the_whole_corpus(corpus: Corpus):
    folds = list(cross_validate(corpus))

    assert sum(sum(fold.is_spam) for fold in folds) == 16
    assert sum(len(fold.scores) for fold in folds) == 32


def test_the_figures_of_a_fold_take_the_threshold_of_the_others():
    lenient = Scored(is_spam=(False, True), scores=(0.1, 0.3))
    strict = Scored(is_spam=(False, True), scores=(0.6, 0.9))

    assessment = assess([lenient, strict])

    assert assessment.thresholds.spam == pytest.approx(0.75)
    assert assessment.at_spam_threshold.recall == 0.5  # 0.3 misses the 0.75 of the other fold
    assert assessment.at_spam_threshold.false_positive_rate == 0.5  # 0.6 reaches the other's 0.2


def test_the_manifest_tells_what_the_model_was_trained_on(model_folder: Path, corpus: Corpus):
    training = read_manifest(model_folder).training

    assert (training.corpus, training.ham, training.spam) == ("small.tsv", 16, 16)
    assert training.corpus_sha256 == corpus.sha256


def test_the_manifest_records_the_libraries(model_folder: Path):
    libraries = read_manifest(model_folder).training.libraries

    assert set(libraries) == {"python", "unicode", "numpy", "scikit-learn"}


def test_the_model_knows_what_it_was_trained_on(model_folder: Path, corpus: Corpus):
    model = read_model(model_folder, read_manifest(model_folder))

    assert set(model.trained_on.tolist()) == {fingerprint(m.text) for m in corpus.messages}


def test_the_stored_pipeline_takes_raw_messages(model_folder: Path):
    version = read_manifest(model_folder).version

    pipeline = joblib.load(model_folder / version / "model.joblib")

    assert pipeline.predict(["You have WON free tickets! Reply YES"]).tolist() == [True]

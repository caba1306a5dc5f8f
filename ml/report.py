"""Measure what a model card reports; `model_card.py` writes the card.

Every figure is measured on messages that the model was not trained on, with a threshold that was
chosen on other messages.
"""
# ruff: noqa: S311  (the random numbers protect nothing)

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedGroupKFold

from ml.attacks import ATTACKS, Attack
from ml.corpus import LabelledMessage
from ml.features import SpamClassifier
from ml.figures import calibration_error, false_positives_at_recall
from ml.inference import SpamModel
from ml.training import (
    FOLDS,
    Messages,
    Scored,
    Split,
    assess,
    concatenate,
    cross_validate,
    measure_folds,
    score_all,
    split,
    split_at,
    thresholds_by_others,
    train_model,
)

PUBLISHED_FOLDS = 10
RECALL = 0.95
NEAR_DUPLICATE_COSINE = 0.7  # of the words of two messages


@dataclass(frozen=True)
class Quality:
    """Hold the results of one cross-validation, in the units of `Metrics`."""

    f1: float
    mcc: float
    precision: float
    recall: float
    false_positive_rate: float
    average_precision: float
    false_positive_rate_at_95_recall: float
    calibration_error: float
    f1_at_half: float


@dataclass(frozen=True)
class Robustness:
    """Hold which share of the spam and of the ham is labeled SPAM after an attack on both."""

    attack: str
    recall: float
    false_positive_rate: float


def evaluate(folds: Sequence[Scored], false_positive_rate: float) -> Quality:
    """Compute the results of one cross-validation."""
    together = concatenate(folds)
    labels, scores = together.is_spam, together.probabilities
    assessment = assess(folds, false_positive_rate)
    figures = assessment.at_spam_threshold
    return Quality(
        f1=figures.f1,
        mcc=figures.mcc,
        precision=figures.precision,
        recall=figures.recall,
        false_positive_rate=figures.false_positive_rate,
        average_precision=float(average_precision_score(labels, scores)),
        false_positive_rate_at_95_recall=false_positives_at_recall(labels, scores, RECALL),
        calibration_error=calibration_error(labels, scores),
        f1_at_half=assessment.at_half.f1,
    )


def split_by_similarity(messages: Messages) -> list[Split]:
    """Split messages into folds so that near-duplicates are always in the same fold.

    Two messages are near-duplicates if their words have a cosine of 0.7 or more, or if a chain of
    near-duplicates connects them.
    """
    words = TfidfVectorizer(sublinear_tf=True).fit_transform([m.text for m in messages])
    is_near_duplicate = words @ words.T >= NEAR_DUPLICATE_COSINE
    _, groups = connected_components(is_near_duplicate, directed=False)
    labels = [message.is_spam for message in messages]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return split_at(messages, folds.split(labels, labels, groups))


def cross_validate_nested(
    messages: Messages, classifier: SpamClassifier
) -> Iterator[tuple[SpamClassifier, Scored]]:
    """Choose the hyperparameters for each fold on the other folds alone, then score the fold.

    The difference to the results of the fixed hyperparameters shows how much choosing them on the
    same data flatters the model.
    """
    for train, test in split(messages):
        best = max(_candidates(classifier), key=lambda each: _average_precision(train, each))
        yield best, next(cross_validate([(train, test)], best))


def measure_robustness(
    messages: Messages, classifier: SpamClassifier, rate: float
) -> list[Robustness]:
    """Measure each attack with models that were trained on other messages, without the attack."""
    splits = split(messages)
    models = [train_model(train, classifier) for train, _ in splits]
    tests = [test for _, test in splits]
    thresholds = thresholds_by_others(_score(models, tests), rate)
    rows = []
    for name, disguise in ATTACKS.items():
        disguised = [_disguise(test, disguise) for test in tests]
        rows.append(_robustness(name, _score(models, disguised), thresholds))
    return rows


def _disguise(messages: Messages, attack: Attack) -> Messages:
    random = Random(0)
    ham = [message.text for message in messages if not message.is_spam]
    return [LabelledMessage(attack(m.text, random, ham), m.is_spam) for m in messages]


def _candidates(classifier: SpamClassifier) -> list[SpamClassifier]:
    choices = product((30, 300), (1, 2, 3))
    return [SpamClassifier(classifier.channel, C, weight) for C, weight in choices]


def _average_precision(messages: Messages, classifier: SpamClassifier) -> float:
    scored = concatenate(list(cross_validate(split(messages, folds=3), classifier)))
    return float(average_precision_score(scored.is_spam, scored.probabilities))


def _score(models: Sequence[SpamModel], tests: Sequence[Messages]) -> list[Scored]:
    return [score_all(model, test) for model, test in zip(models, tests, strict=True)]


def _robustness(name: str, folds: Sequence[Scored], thresholds: Sequence[float]) -> Robustness:
    figures = measure_folds(folds, thresholds)
    return Robustness(name, figures.recall, figures.false_positive_rate)

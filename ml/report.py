"""Measure all that a model card tells; `model_card.py` words it.

Every figure is of messages that the model at hand had not seen. Verdicts are by a threshold that
other messages chose.
"""
# ruff: noqa: S311  (nothing is secret)

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
    cross_validate,
    join,
    measure_folds,
    part,
    score_all,
    split,
    thresholds_by_others,
    train_model,
)

PUBLISHED_FOLDS = 10
RECALL = 0.95
ALIKE = 0.7  # cosine of two messages' words from which they are near-duplicates


@dataclass(frozen=True)
class Quality:
    """Hold the figures of one cross-validation, in the units of `Figures`."""

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
    """Hold how many of the spam and of the ham, both disguised alike, are called SPAM."""

    attack: str
    recall: float
    false_positive_rate: float


def judge(folds: Sequence[Scored], false_positive_rate: float) -> Quality:
    """Take the figures of one cross-validation."""
    together = join(folds)
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


def split_by_likeness(messages: Messages) -> list[Split]:
    """Part messages so that near-duplicates are never on both sides.

    Two messages are near-duplicates if the words of both have a cosine of 0.7 or more, and so are
    those that others join in this way.
    """
    words = TfidfVectorizer(sublinear_tf=True).fit_transform([m.text for m in messages])
    _, groups = connected_components(words @ words.T >= ALIKE, directed=False)
    labels = [message.is_spam for message in messages]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return part(messages, folds.split(labels, labels, groups))


def choose_and_score(
    messages: Messages, classifier: SpamClassifier
) -> Iterator[tuple[SpamClassifier, Scored]]:
    """Choose the recipe anew for each fold, by messages of the other folds alone.

    The distance to the recipe's own figures is how far its choice saw the data, as far as it goes:
    the kinds of terms, too, were chosen by such figures.
    """
    for train, test in split(messages):
        best = max(_candidates(classifier), key=lambda each: _average_precision(train, each))
        yield best, next(cross_validate([(train, test)], best))


def attack(messages: Messages, classifier: SpamClassifier, rate: float) -> list[Robustness]:
    """Score messages in each disguise by models that saw others, undisguised."""
    splits = split(messages)
    models = [train_model(train, classifier) for train, _ in splits]
    tests = [test for _, test in splits]
    thresholds = thresholds_by_others(_score(models, tests), rate)
    rows = []
    for name, disguise in ATTACKS.items():
        disguised = [_disguised(test, disguise) for test in tests]
        rows.append(_robustness(name, _score(models, disguised), thresholds))
    return rows


def _disguised(messages: Messages, disguise: Attack) -> Messages:
    random = Random(0)
    ham = [message.text for message in messages if not message.is_spam]
    return [LabelledMessage(disguise(m.text, random, ham), m.is_spam) for m in messages]


def _candidates(classifier: SpamClassifier) -> list[SpamClassifier]:
    choices = product((30, 300), (1, 2, 3))
    return [SpamClassifier(classifier.channel, C, weight) for C, weight in choices]


def _average_precision(messages: Messages, classifier: SpamClassifier) -> float:
    scored = join(list(cross_validate(split(messages, folds=3), classifier)))
    return float(average_precision_score(scored.is_spam, scored.probabilities))


def _score(models: Sequence[SpamModel], tests: Sequence[Messages]) -> list[Scored]:
    return [score_all(model, test) for model, test in zip(models, tests, strict=True)]


def _robustness(name: str, folds: Sequence[Scored], thresholds: Sequence[float]) -> Robustness:
    figures = measure_folds(folds, thresholds)
    return Robustness(name, figures.recall, figures.false_positive_rate)

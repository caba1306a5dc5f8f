"""Own how a model is judged and made: cross-validation, thresholds, the final fit."""

import io
import platform
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from ml.channels import Channel
from ml.corpus import Corpus, LabelledMessage
from ml.features import SpamClassifier, fit, fold
from ml.figures import HALF, Figures, Thresholds, measure, threshold_for
from ml.inference import GOLDEN, SpamModel
from ml.manifest import Manifest, Training
from ml.storing import write_artefact

Messages = Sequence[LabelledMessage]
Split = tuple[Messages, Messages]

FOLDS = 5
UNSURE_RATES = 5  # times as much ham may be called UNSURE or SPAM as SPAM
MAX_UNSURE_RATE = 0.5  # of ham; more would make all of it unsure
OUT_OF_DOMAIN_RATE = 0.01  # of the channel's messages may be called far from them
NO_THRESHOLDS = Thresholds(unsure=HALF, spam=HALF, unknown=1.0)


@dataclass(frozen=True)
class Scored:
    """Hold labels of messages and, in the same order, scores by a model that never saw them."""

    is_spam: tuple[bool, ...]
    probabilities: tuple[float, ...]
    unknown: tuple[float, ...]  # the shares of unknown words and pairs


@dataclass(frozen=True)
class Assessment:
    """Hold what cross-validation found: the thresholds to use, and how good the verdicts are."""

    thresholds: Thresholds
    at_spam_threshold: Figures
    at_half: Figures


def split(messages: Messages, folds: int = FOLDS, seed: int = 0) -> list[Split]:
    """Part messages into folds with equal shares of spam, the same on each call.

    Returns:
        For each fold the messages to train on and the messages to score.
    """
    labels = [message.is_spam for message in messages]
    places = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    return part(messages, places)


def part(messages: Messages, places: Iterable[Sequence[NDArray[np.intp]]]) -> list[Split]:
    """Part messages by their places, those to train on and those to score, for each fold."""
    return [([messages[i] for i in train], [messages[i] for i in test]) for train, test in places]


def cross_validate(splits: Iterable[Split], classifier: SpamClassifier) -> Iterator[Scored]:
    """Score each fold with a model trained on the others, by the code that serves."""
    for train, test in splits:
        yield score_all(train_model(train, classifier), test)


def score_all(model: SpamModel, messages: Messages) -> Scored:
    """Score messages that a model never saw."""
    scores = [model.score(message.text) for message in messages]
    return Scored(
        tuple(message.is_spam for message in messages),
        tuple(score.spam_probability for score in scores),
        tuple(score.unknown for score in scores),
    )


def train_model(messages: Messages, classifier: SpamClassifier) -> SpamModel:
    """Train a model that has no thresholds yet; 1 s for 4,500 SMS, 15 s for 4,700 e-mails."""
    model = fold(fit(messages, classifier), messages)
    return SpamModel(model, classifier.channel, NO_THRESHOLDS, version="untested")


def assess(folds: Sequence[Scored], false_positive_rate: float) -> Assessment:
    """Choose the thresholds from all scores, and judge the verdicts.

    A message may not help to choose the threshold it is judged by, so the figures take for each
    fold the threshold that the other folds choose.

    Args:
        folds: what cross-validation gave.
        false_positive_rate: the share of ham that may be called SPAM.
    """
    together = join(folds)
    unsure, spam = (
        threshold_for(together.is_spam, together.probabilities, rate)
        for rate in (unsure_rate(false_positive_rate), false_positive_rate)
    )
    everything = [False] * len(together.unknown)
    unknown = threshold_for(everything, together.unknown, OUT_OF_DOMAIN_RATE)
    return Assessment(
        thresholds=Thresholds(unsure, spam, unknown),
        at_spam_threshold=measure_folds(folds, thresholds_by_others(folds, false_positive_rate)),
        at_half=measure(together.is_spam, [p >= HALF for p in together.probabilities]),
    )


def thresholds_by_others(folds: Sequence[Scored], false_positive_rate: float) -> list[float]:
    """Choose for each fold the threshold of SPAM by the scores of the others."""
    thresholds = []
    for fold_ in folds:
        others = join([other for other in folds if other is not fold_])
        thresholds.append(threshold_for(others.is_spam, others.probabilities, false_positive_rate))
    return thresholds


def measure_folds(folds: Sequence[Scored], thresholds: Sequence[float]) -> Figures:
    """Judge the verdicts of all folds together, each at its own threshold."""
    predicted = [
        probability >= threshold
        for fold_, threshold in zip(folds, thresholds, strict=True)
        for probability in fold_.probabilities
    ]
    return measure(join(folds).is_spam, predicted)


def unsure_rate(false_positive_rate: float) -> float:
    """Give the share of ham that may be called UNSURE or SPAM."""
    return min(MAX_UNSURE_RATE, UNSURE_RATES * false_positive_rate)


def train(
    corpus: Corpus,
    channel: Channel,
    assessment: Assessment,
    false_positive_rate: float,
    folder: Path,
) -> Manifest:
    """Fit on the whole corpus and store the artefact.

    Raises:
        CannotWrite: the folder cannot be written.
    """
    classifier = fit(corpus.messages, SpamClassifier(channel))
    dumped = io.BytesIO()
    joblib.dump(classifier, dumped, compress=3)
    model = fold(classifier, corpus.messages)
    thresholds = assessment.thresholds
    golden = SpamModel(model, channel, thresholds, version="new").probabilities(GOLDEN)
    training = _record(corpus, assessment, false_positive_rate)
    return write_artefact(folder, model, dumped.getvalue(), channel, thresholds, golden, training)


def _record(corpus: Corpus, assessment: Assessment, false_positive_rate: float) -> Training:
    return Training(
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        corpus=corpus.path.name,
        corpus_sha256=corpus.sha256,
        ham=corpus.ham,
        spam=corpus.spam,
        duplicates=corpus.duplicates,
        false_positive_rate=false_positive_rate,
        libraries={
            "python": platform.python_version(),
            "unicode": unicodedata.unidata_version,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        at_spam_threshold=assessment.at_spam_threshold,
        at_half=assessment.at_half,
    )


def join(folds: Sequence[Scored]) -> Scored:
    """Put the scores of folds together, in their order."""
    return Scored(
        is_spam=tuple(label for fold_ in folds for label in fold_.is_spam),
        probabilities=tuple(score for fold_ in folds for score in fold_.probabilities),
        unknown=tuple(share for fold_ in folds for share in fold_.unknown),
    )

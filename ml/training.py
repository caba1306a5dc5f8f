"""Own the training of a model: cross-validation, the choice of thresholds and the final fit."""

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
from ml.features import SpamClassifier, export_model, fit
from ml.figures import HALF, Metrics, Thresholds, measure, threshold_for
from ml.inference import GOLDEN, SpamModel
from ml.manifest import Manifest, Training
from ml.storing import write_artefact

Messages = Sequence[LabelledMessage]
Split = tuple[Messages, Messages]

FOLDS = 5
UNSURE_FACTOR = 5  # times as much ham may be labeled UNSURE or SPAM as SPAM
MAX_UNSURE_RATE = 0.5  # of ham; with more, UNSURE would say nothing
OUT_OF_DOMAIN_RATE = 0.01  # share of the channel's own messages that may be out of domain
NO_THRESHOLDS = Thresholds(unsure=HALF, spam=HALF, unknown=1.0)


@dataclass(frozen=True)
class Scored:
    """Hold labels of messages and, in the same order, scores by a model not trained on them."""

    is_spam: tuple[bool, ...]
    probabilities: tuple[float, ...]
    unknown: tuple[float, ...]  # shares of unknown words and pairs


@dataclass(frozen=True)
class Assessment:
    """Hold the result of cross-validation: the thresholds to use, and the metrics at them."""

    thresholds: Thresholds
    at_spam_threshold: Metrics
    at_half: Metrics


def split(messages: Messages, folds: int = FOLDS, seed: int = 0) -> list[Split]:
    """Split messages into folds with equal shares of spam; the same arguments give the same folds.

    Returns:
        For each fold the messages to train on and the messages to score.
    """
    labels = [message.is_spam for message in messages]
    indexes = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    return split_at(messages, indexes)


def split_at(messages: Messages, indexes: Iterable[Sequence[NDArray[np.intp]]]) -> list[Split]:
    """Split messages at the indexes that a scikit-learn splitter yields for each fold."""
    return [([messages[i] for i in train], [messages[i] for i in test]) for train, test in indexes]


def cross_validate(splits: Iterable[Split], classifier: SpamClassifier) -> Iterator[Scored]:
    """Score each fold with a model trained on the others, using the serving code."""
    for train, test in splits:
        yield score_all(train_model(train, classifier), test)


def score_all(model: SpamModel, messages: Messages) -> Scored:
    """Score messages that the model was not trained on."""
    scores = [model.score(message.text) for message in messages]
    return Scored(
        tuple(message.is_spam for message in messages),
        tuple(score.spam_probability for score in scores),
        tuple(score.unknown for score in scores),
    )


def train_model(messages: Messages, classifier: SpamClassifier) -> SpamModel:
    """Train a model without thresholds; 1 s for 4,500 SMS, 15 s for 4,700 e-mails."""
    model = export_model(fit(messages, classifier), messages)
    return SpamModel(model, classifier.channel, NO_THRESHOLDS, version="untested")


def assess(folds: Sequence[Scored], false_positive_rate: float) -> Assessment:
    """Choose the thresholds from the scores of all folds, and measure how good they are.

    No message may take part in choosing the threshold that it is measured with. So the metrics use,
    for each fold, the threshold chosen on the other folds.

    Args:
        folds: the scores from cross-validation.
        false_positive_rate: the share of ham that may be labeled SPAM.
    """
    together = concatenate(folds)
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
    """Choose the SPAM threshold for each fold from the scores of the other folds."""
    thresholds = []
    for fold in folds:
        others = concatenate([other for other in folds if other is not fold])
        thresholds.append(threshold_for(others.is_spam, others.probabilities, false_positive_rate))
    return thresholds


def measure_folds(folds: Sequence[Scored], thresholds: Sequence[float]) -> Metrics:
    """Compute metrics over all folds together, using each fold's own threshold."""
    predicted = [
        probability >= threshold
        for fold, threshold in zip(folds, thresholds, strict=True)
        for probability in fold.probabilities
    ]
    return measure(concatenate(folds).is_spam, predicted)


def unsure_rate(false_positive_rate: float) -> float:
    """Return the share of ham that may be labeled UNSURE or SPAM."""
    return min(MAX_UNSURE_RATE, UNSURE_FACTOR * false_positive_rate)


def train(
    corpus: Corpus,
    channel: Channel,
    assessment: Assessment,
    false_positive_rate: float,
    folder: Path,
) -> Manifest:
    """Fit on the whole corpus and store the model.

    Raises:
        CannotWrite: the folder cannot be written.
    """
    classifier = fit(corpus.messages, SpamClassifier(channel))
    dumped = io.BytesIO()
    joblib.dump(classifier, dumped, compress=3)
    model = export_model(classifier, corpus.messages)
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


def concatenate(folds: Sequence[Scored]) -> Scored:
    """Concatenate the scores of folds, in order."""
    return Scored(
        is_spam=tuple(label for fold in folds for label in fold.is_spam),
        probabilities=tuple(score for fold in folds for score in fold.probabilities),
        unknown=tuple(share for fold in folds for share in fold.unknown),
    )

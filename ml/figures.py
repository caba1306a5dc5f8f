"""Own the metrics and thresholds that are computed from labels and scores, without any model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Metrics:
    """Hold a confusion matrix, where spam is positive, and the metrics derived from it.

    `mcc`, the Matthews correlation coefficient, is in [-1, 1], the other metrics in [0, 1].
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    precision: float
    recall: float
    f1: float
    mcc: float
    false_positive_rate: float


@dataclass(frozen=True)
class Thresholds:
    """Hold the thresholds of a verdict.

    A probability below `unsure` is HAM, one from `spam` on is SPAM, and one between is UNSURE. A
    message is out of domain if its share of unknown words and pairs is `unknown` or more.
    """

    unsure: float
    spam: float
    unknown: float

    def __post_init__(self) -> None:
        if not 0 <= self.unsure <= self.spam <= 1:
            raise ValueError(
                f"thresholds must be 0 <= unsure <= spam <= 1, not {self.unsure} and {self.spam}"
            )


HALF = 0.5  # the threshold that published work reports


def measure(is_spam: Sequence[bool], predicted: Sequence[bool]) -> Metrics:
    """Compare predictions with labels; a metric whose denominator is 0 is 0."""
    pairs = list(zip(is_spam, predicted, strict=True))
    tp, fp = pairs.count((True, True)), pairs.count((False, True))
    fn, tn = pairs.count((True, False)), pairs.count((False, False))
    root = sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return Metrics(
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        true_negatives=tn,
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
        mcc=_ratio(tp * tn - fp * fn, root),
        false_positive_rate=_ratio(fp, fp + tn),
    )


def threshold_for(
    is_spam: Sequence[bool], scores: Sequence[float], false_positive_rate: float
) -> float:
    """Choose the lowest threshold that at most a given share of the ham reaches.

    Args:
        is_spam: the labels.
        scores: in the order of the labels, from models that were not trained on the message.
        false_positive_rate: the share of ham that may reach the threshold.

    Returns:
        The middle between the highest ham score that must stay below and the next higher score, or
        1 if there is none.

    Raises:
        ValueError: there is no ham.
    """
    pairs = list(zip(is_spam, scores, strict=True))
    ham = sorted((score for spam, score in pairs if not spam), reverse=True)
    if not ham:
        raise ValueError("choosing a threshold needs at least one ham message")
    # 1e-9, because 0.29 * 100 is slightly less than 29
    highest_below = ham[int(false_positive_rate * len(ham) + 1e-9)]
    lowest_above = min((score for score in scores if score > highest_below), default=1.0)
    return (highest_below + lowest_above) / 2


def false_positives_at_recall(
    is_spam: Sequence[bool], scores: Sequence[float], recall: float
) -> float:
    """Return the false positive rate at the threshold that reaches a given recall.

    Raises:
        ValueError: there is no spam.
    """
    pairs = list(zip(is_spam, scores, strict=True))
    spam = sorted(score for label, score in pairs if label)
    if not spam:
        raise ValueError("recall needs at least one spam message")
    threshold = spam[min(len(spam) - 1, int((1 - recall) * len(spam) + 1e-9))]
    ham = [score for label, score in pairs if not label]
    return _ratio(sum(score >= threshold for score in ham), len(ham))


def calibration_error(is_spam: Sequence[bool], probabilities: Sequence[float]) -> float:
    """Return the expected calibration error (ECE) over ten bins of equal width."""
    bins: list[list[float]] = [[] for _ in range(10)]
    for label, probability in zip(is_spam, probabilities, strict=True):
        bins[min(9, int(10 * probability))].append(label - probability)
    return _ratio(sum(abs(sum(each)) for each in bins), len(probabilities))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

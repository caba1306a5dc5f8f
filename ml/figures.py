"""Own what is made of scores: figures of merit and thresholds; knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Figures:
    """Count verdicts, spam being positive, and say how good they are.

    `mcc`, the Matthews correlation, is in [-1, 1], the other rates in [0, 1].
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
    """Part the probabilities: HAM below `unsure`, UNSURE up to `spam`, SPAM from there on.

    A message is out of domain from a share of unknown words and pairs of `unknown` on.
    """

    unsure: float
    spam: float
    unknown: float

    def __post_init__(self) -> None:
        if not 0 <= self.unsure <= self.spam <= 1:
            raise ValueError(f"thresholds out of order: {self.unsure}, {self.spam}")


HALF = 0.5  # the threshold that other work reports


def measure(is_spam: Sequence[bool], predicted: Sequence[bool]) -> Figures:
    """Compare predictions with the truth, message by message; a figure without a base is 0."""
    pairs = list(zip(is_spam, predicted, strict=True))
    tp, fp = pairs.count((True, True)), pairs.count((False, True))
    fn, tn = pairs.count((True, False)), pairs.count((False, False))
    root = sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return Figures(
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
    """Choose the lowest threshold that no larger share of the ham reaches.

    The scores must be by models that had not seen the message they score.

    Returns:
        The probability halfway between the highest ham that must stay below and the next score; 1
        where there is no next.

    Raises:
        ValueError: there is no ham.
    """
    pairs = list(zip(is_spam, scores, strict=True))
    ham = sorted((score for spam, score in pairs if not spam), reverse=True)
    if not ham:
        raise ValueError("without ham there is no share of it")
    highest_below = ham[int(false_positive_rate * len(ham) + 1e-9)]  # 0.29 * 100 is a bit less
    lowest_above = min((score for score in scores if score > highest_below), default=1.0)
    return (highest_below + lowest_above) / 2


def false_positives_at_recall(
    is_spam: Sequence[bool], scores: Sequence[float], recall: float
) -> float:
    """Give the share of ham that is called spam where that share of the spam is.

    Raises:
        ValueError: there is no spam.
    """
    pairs = list(zip(is_spam, scores, strict=True))
    spam = sorted(score for label, score in pairs if label)
    if not spam:
        raise ValueError("without spam there is no recall")
    threshold = spam[min(len(spam) - 1, int((1 - recall) * len(spam) + 1e-9))]
    ham = [score for label, score in pairs if not label]
    return _ratio(sum(score >= threshold for score in ham), len(ham))


def calibration_error(is_spam: Sequence[bool], probabilities: Sequence[float]) -> float:
    """Give how far probabilities are from what happens: ECE, of ten bins of equal width."""
    bins: list[list[float]] = [[] for _ in range(10)]
    for label, probability in zip(is_spam, probabilities, strict=True):
        bins[min(9, int(10 * probability))].append(label - probability)
    return _ratio(sum(abs(sum(each)) for each in bins), len(probabilities))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

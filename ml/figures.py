"""Own what is made of scores: figures of merit and thresholds; knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Figures:
    """Say how well spam was told from ham: `mcc` in [-1, 1], the others in [0, 1]."""

    precision: float
    recall: float
    f1: float
    mcc: float
    false_positive_rate: float


@dataclass(frozen=True)
class Thresholds:
    """Part the probabilities: HAM below `unsure`, UNSURE up to `spam`, SPAM from there on."""

    unsure: float
    spam: float

    def __post_init__(self) -> None:
        if not 0 <= self.unsure <= self.spam <= 1:
            raise ValueError(f"thresholds out of order: {self.unsure}, {self.spam}")


def measure(is_spam: Sequence[bool], predicted: Sequence[bool]) -> Figures:
    """Compare predictions with the truth, message by message; a figure without a base is 0."""
    pairs = list(zip(is_spam, predicted, strict=True))
    tp, fp = pairs.count((True, True)), pairs.count((False, True))
    fn, tn = pairs.count((True, False)), pairs.count((False, False))
    root = sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return Figures(
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
        The probability halfway between the highest ham that must stay below and the next score.
    """
    pairs = list(zip(is_spam, scores, strict=True))
    ham = sorted((score for spam, score in pairs if not spam), reverse=True)
    highest_below = ham[int(false_positive_rate * len(ham))]
    lowest_above = min((score for score in scores if score > highest_below), default=1.0)
    return (highest_below + lowest_above) / 2


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

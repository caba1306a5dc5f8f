"""Own the form of a verdict on one message; `inference.py` computes it."""

from enum import StrEnum
from typing import NamedTuple


class SpamLabel(StrEnum):
    """Name how a message is classified."""

    HAM = "HAM"
    UNSURE = "UNSURE"
    SPAM = "SPAM"


class Reason(NamedTuple):
    """Hold a part of the message and its weight in the score; above 0 indicates spam.

    A fragment counts towards each word that contains it, so weights need not add up to the score.
    """

    term: str
    weight: float


class Verdict(NamedTuple):
    """Hold the classification of one message.

    Attributes:
        label: the class; a truncated message is never HAM.
        spam_probability: in [0, 1].
        threshold: the `spam_probability` from which the label is SPAM.
        reasons: the parts of the message with the largest weights, largest first.
        model_version: the version of the model that scored the message.
        truncated: only the first 8,192 characters were read.
        out_of_domain: the share of unknown words and pairs is larger than in 99 of 100 messages of
            the model's channel, so the probability is unreliable.
    """

    label: SpamLabel
    spam_probability: float
    threshold: float
    reasons: tuple[Reason, ...]
    model_version: str
    truncated: bool
    out_of_domain: bool

"""What a model makes of one message; `inference.py` makes it."""

from enum import StrEnum
from typing import NamedTuple


class SpamLabel(StrEnum):
    """Name what a message is taken for."""

    HAM = "HAM"
    UNSURE = "UNSURE"
    SPAM = "SPAM"


class Reason(NamedTuple):
    """Hold a part of the message and what it adds to the score; above 0 it speaks for spam.

    Words that share fragments each count them, so the weights need not add up to the score.
    """

    term: str
    weight: float


class Verdict(NamedTuple):
    """Hold what the model makes of one message.

    `threshold` is the `spam_probability` from which the label is SPAM. `reasons` are the parts that
    weigh most, heaviest first. `truncated`: only the first 8,192 characters were read,
    so that it is not called HAM.
    `out_of_domain`: it has more unknown words and pairs than 99 in 100 messages of the model's
    channel have, so that the probability means little.
    """

    label: SpamLabel
    spam_probability: float
    threshold: float
    reasons: tuple[Reason, ...]
    model_version: str
    truncated: bool
    out_of_domain: bool

"""Own the settings that differ between message channels; all other code is shared.

A model serves one channel: an SMS model scores e-mails little better than chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ml import mail
from ml.disguise import MAX_CHARACTERS


class Channel(StrEnum):
    """Name how messages arrive, and the folder of that channel's model."""

    SMS = "sms"
    EMAIL = "email"

    @property
    def recipe(self) -> "Recipe":
        """Return how to read messages of this channel and train on them."""
        return _RECIPES[self]


@dataclass(frozen=True)
class Recipe:
    """Hold how to read the messages of a channel and train on them.

    Attributes:
        window_characters: length of the windows that are scored.
        training_characters: how much of a message is used in training, from its start.
        min_documents: number of messages that must contain a word pair or fragment for it to count.
        min_documents_for_words: the same for single words.
        max_terms: limit on the number of words and pairs, and on the number of fragments.
        false_positive_rate: default for the share of ham that may be labeled SPAM.
        unknown_smoothing: added to the term count when computing the share of unknown terms, so
            that a name and a typo do not put a short message out of domain.
        extract_text: extracts the text from a message.
    """

    window_characters: int
    training_characters: int
    min_documents: int
    min_documents_for_words: int
    max_terms: int | None
    false_positive_rate: float
    unknown_smoothing: int
    extract_text: Callable[[str], str]


def _mail_text(message: str) -> str:
    """Extract the text from the source of an e-mail; return any other text unchanged."""
    return mail.extract_text(message) if mail.looks_like_source(message) else message


_RECIPES = {
    Channel.SMS: Recipe(
        window_characters=160,  # one SMS
        training_characters=MAX_CHARACTERS,
        min_documents=2,
        min_documents_for_words=1,
        max_terms=None,
        false_positive_rate=0.002,  # losing a message hurts more than reading an advert
        unknown_smoothing=20,
        extract_text=str,
    ),
    Channel.EMAIL: Recipe(
        window_characters=2_000,
        training_characters=3_000,
        min_documents=3,
        min_documents_for_words=3,
        max_terms=50_000,
        false_positive_rate=0.005,  # 0.002 would miss 4 % more spam: newsletters look like spam
        unknown_smoothing=5,
        extract_text=_mail_text,
    ),
}

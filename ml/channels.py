"""Own what differs between the channels that messages come by; all else is the same code.

A model knows one channel: one of SMS, used on e-mails, is little better than a coin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ml import mail
from ml.disguise import MAX_CHARACTERS


class Channel(StrEnum):
    """Name a way that messages come by, and the folder of its model."""

    SMS = "sms"
    EMAIL = "email"

    @property
    def recipe(self) -> "Recipe":
        """Give how messages of this channel are read and learnt."""
        return _RECIPES[self]


@dataclass(frozen=True)
class Recipe:
    """Hold how the messages of a channel are read and learnt.

    Attributes:
        window: characters that are judged together.
        learnt: characters of a message that are learnt from: those of the longest window.
        min_messages: in how many messages a pair of words, or a fragment, must occur to count.
        min_messages_of_words: the same of a word.
        max_terms: how many words, and how many fragments, are known at most.
        false_positive_rate: the share of ham that may be called SPAM, unless training is told.
        unknown_ground: added to the number of words and pairs when the share of unknown ones is
            taken, so that a short message is not far from the others for a name and a typing error.
        text_of: finds the text in a message.
    """

    window: int
    learnt: int
    min_messages: int
    min_messages_of_words: int
    max_terms: int | None
    false_positive_rate: float
    unknown_ground: int
    text_of: Callable[[str], str]


def _mail_text(message: str) -> str:
    """Read the source of an e-mail; another text is taken for the text of one."""
    return mail.text_of(message) if mail.looks_like_source(message) else message


_RECIPES = {
    Channel.SMS: Recipe(
        window=160,  # characters of one SMS
        learnt=MAX_CHARACTERS,
        min_messages=2,
        min_messages_of_words=1,
        max_terms=None,
        false_positive_rate=0.002,  # a lost message hurts more than a read advert
        unknown_ground=20,
        text_of=str,
    ),
    Channel.EMAIL: Recipe(
        window=2_000,
        learnt=3_000,
        min_messages=3,
        min_messages_of_words=3,
        max_terms=50_000,
        false_positive_rate=0.005,  # 0.2 % would cost 4 % of the spam: newsletters look like it
        unknown_ground=5,
        text_of=_mail_text,
    ),
}

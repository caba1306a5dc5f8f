"""Own the labelled messages that a model is made and judged by; `reading.py` reads them.

Corpora hold many messages twice; a model tested on what it was trained on looks better than it is,
so of each only the first stays.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.errors import BadCorpus

MIN_PER_LABEL = 10  # two for each of five folds; fewer say nothing

_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class LabelledMessage:
    """Hold a message and what a person took it for."""

    text: str
    is_spam: bool


@dataclass(frozen=True)
class Corpus:
    """Hold the distinct messages of a file or folder, and where they came from."""

    path: Path
    sha256: str
    messages: tuple[LabelledMessage, ...]
    duplicates: int

    @property
    def spam(self) -> int:
        """Count the messages that are spam."""
        return sum(message.is_spam for message in self.messages)

    @property
    def ham(self) -> int:
        """Count the messages that are not."""
        return len(self.messages) - self.spam

    def require_learnable(self, fewest: int = MIN_PER_LABEL) -> None:
        """Refuse a corpus with too few messages of one label to train on parts of it.

        Raises:
            BadCorpus: fewer than that.
        """
        if min(self.ham, self.spam) < fewest:
            needed = f"that needs {fewest} different messages of each label"
            reason = f"{needed}, and it has {self.ham} ham and {self.spam} spam"
            raise BadCorpus(self.path, None, reason)


def distinct(path: Path, digest: str, messages: Sequence[LabelledMessage]) -> Corpus:
    """Make a corpus of messages, of each only the first of its duplicates."""
    kept: dict[str, LabelledMessage] = {}
    for message in messages:
        kept.setdefault(_key(message.text), message)
    return Corpus(path, digest, tuple(kept.values()), duplicates=len(messages) - len(kept))


def fingerprint(text: str) -> int:
    """Number a message in 64 bits, its duplicates alike."""
    return int.from_bytes(hashlib.sha256(_key(text).encode()).digest()[:8])


def _key(text: str) -> str:
    """Give what duplicates have in common: their words, whatever the case, width or punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_WORDS.sub(" ", folded).strip() or folded

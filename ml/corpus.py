"""Own the labeled messages that a model is trained and evaluated on; `reading.py` reads them.

Corpora contain many duplicates, and a model that is tested on messages it was trained on looks
better than it is. So a corpus keeps only the first copy of each message.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.errors import BadCorpus

MIN_PER_LABEL = 10  # two in each of five folds; fewer say nothing

_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class LabelledMessage:
    """Hold a message and the label that a person gave it."""

    text: str
    is_spam: bool


@dataclass(frozen=True)
class Corpus:
    """Hold the distinct messages of a file or folder, and their origin."""

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
        """Count the messages that are ham."""
        return len(self.messages) - self.spam

    def require_learnable(self, fewest: int = MIN_PER_LABEL) -> None:
        """Require enough messages of each label for cross-validation.

        Raises:
            BadCorpus: one label has fewer than `fewest` messages.
        """
        if min(self.ham, self.spam) < fewest:
            reason = (
                f"training needs at least {fewest} distinct messages of each label, "
                f"but it has {self.ham} ham and {self.spam} spam"
            )
            raise BadCorpus(self.path, None, reason)


def deduplicate(path: Path, digest: str, messages: Sequence[LabelledMessage]) -> Corpus:
    """Make a corpus of messages without their duplicates."""
    kept: dict[str, LabelledMessage] = {}
    for message in messages:
        kept.setdefault(_duplicate_key(message.text), message)
    return Corpus(path, digest, tuple(kept.values()), duplicates=len(messages) - len(kept))


def fingerprint(text: str) -> int:
    """Hash a message to 64 bits; duplicates have the same hash."""
    return int.from_bytes(hashlib.sha256(_duplicate_key(text).encode()).digest()[:8])


def _duplicate_key(text: str) -> str:
    """Return a message's words without case, width and punctuation, which duplicates share."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_WORDS.sub(" ", folded).strip() or folded

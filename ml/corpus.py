"""Own the labelled messages: reading a file without its duplicates; `download.py` fetches one.

A file has one message a line: `ham` or `spam`, a tab, the text; UTF-8. That is the format of the
SMS Spam Collection (Almeida et al. 2011), as UCI gives it out. It holds many messages twice; a
model tested on what it was trained on looks better than it is, so of each only the first stays.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ml.errors import BadCorpus
from ml.files import sha256

MIN_PER_LABEL = 10  # two for each of five folds; fewer say nothing

_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class LabelledMessage:
    """Hold a message and what a person took it for."""

    text: str
    is_spam: bool


@dataclass(frozen=True)
class Corpus:
    """Hold the distinct messages of a file, and where they came from."""

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

    def require_learnable(self) -> None:
        """Refuse a corpus with too few messages of one label.

        Raises:
            BadCorpus: fewer than `MIN_PER_LABEL`.
        """
        if min(self.ham, self.spam) < MIN_PER_LABEL:
            needed = f"training needs {MIN_PER_LABEL} different ones of each"
            reason = f"{needed}, and it has {self.ham} ham and {self.spam} spam"
            raise BadCorpus(self.path, None, reason)


def read_corpus(path: Path) -> Corpus:
    """Read a labelled file and leave out its duplicates.

    Raises:
        BadCorpus: it cannot be read, or a line has another form.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadCorpus(path, None, f"it cannot be read ({error.strerror})") from error
    messages = list(_parse(path, content))
    distinct: dict[str, LabelledMessage] = {}
    for message in messages:
        distinct.setdefault(_key(message.text), message)
    duplicates = len(messages) - len(distinct)
    return Corpus(path, sha256(content), tuple(distinct.values()), duplicates)


def fingerprint(text: str) -> int:
    """Number a message in 64 bits, its duplicates alike."""
    return int.from_bytes(hashlib.sha256(_key(text).encode()).digest()[:8])


def _parse(path: Path, content: bytes) -> Iterator[LabelledMessage]:
    # by line feed alone: a text may hold the other characters that `splitlines` takes for ends
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            yield _parse_line(path, number, line)


def _parse_line(path: Path, number: int, line: bytes) -> LabelledMessage:
    try:
        label, tab, text = line.decode().strip().partition("\t")
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 (byte {error.start + 1} of the line)"
        raise BadCorpus(path, number, reason) from error
    if label.lower() not in ("ham", "spam"):
        reason = f"it must begin with `ham` or `spam` and a tab, and begins with {label[:20]!r}"
        raise BadCorpus(path, number, reason)
    if not tab:
        raise BadCorpus(path, number, "there is no text after the label")
    return LabelledMessage(text, is_spam=label.lower() == "spam")


def _key(text: str) -> str:
    """Give what duplicates have in common: their words, whatever the case, width or punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_WORDS.sub(" ", folded).strip() or folded

"""Read a corpus: labeled lines of a file, or e-mails (through `mailbox.py`).

A file is UTF-8 and has one message a line: `ham` or `spam`, a tab, the text. That is the format in
which UCI publishes the SMS Spam Collection (Almeida et al. 2011).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ml.corpus import Corpus, LabelledMessage, deduplicate
from ml.errors import BadCorpus
from ml.files import sha256
from ml.mailbox import is_mail, read_mail

DATA_HELP = (
    "labeled messages: a file with one message a line (`ham` or `spam`, a tab, the text), or "
    "e-mails: an mbox, or a folder whose subfolders have `ham` or `spam` in their names"
)


def read_corpus(path: Path) -> Corpus:
    """Read labeled messages without their duplicates.

    Raises:
        BadCorpus: the messages cannot be read, or a line or an e-mail has no label.
    """
    messages = read_messages(path)
    if path.is_file():
        content = path.read_bytes()
    else:
        content = b"".join(b"%d%s\0" % (m.is_spam, m.text.encode()) for m in messages)
    return deduplicate(path, sha256(content), messages)


def read_messages(path: Path) -> Sequence[LabelledMessage]:
    """Read labeled messages with their duplicates.

    Raises:
        BadCorpus: the messages cannot be read, or a line or an e-mail has no label.
    """
    try:
        return list(read_mail(path) if is_mail(path) else _parse(path, path.read_bytes()))
    except OSError as error:
        raise BadCorpus(path, None, f"it cannot be read ({error.strerror})") from error


def _parse(path: Path, content: bytes) -> Iterator[LabelledMessage]:
    # `splitlines` would also split at characters that a message may contain
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            yield _parse_line(path, number, line)


def _parse_line(path: Path, number: int, line: bytes) -> LabelledMessage:
    try:
        label, tab, text = line.decode().strip().partition("\t")
    except UnicodeDecodeError as error:
        reason = f"the line is not UTF-8 (at byte {error.start + 1})"
        raise BadCorpus(path, number, reason) from error
    if label.strip().lower() not in ("ham", "spam"):
        reason = f"the line must start with `ham` or `spam` and a tab, not with {label[:20]!r}"
        raise BadCorpus(path, number, reason)
    if not tab:
        raise BadCorpus(path, number, "there is no text after the label")
    return LabelledMessage(text, is_spam=label.strip().lower() == "spam")

"""Read labelled messages: lines of a file here, e-mails with `mailbox.py`.

A file has one message a line: `ham` or `spam`, a tab, the text; UTF-8. That is the format of the
SMS Spam Collection (Almeida et al. 2011), as UCI gives it out.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ml.corpus import Corpus, LabelledMessage, distinct
from ml.errors import BadCorpus
from ml.files import sha256
from ml.mailbox import is_mail, read_mail

DATA_HELP = (
    "labelled messages: a file with one a line (`ham` or `spam`, a tab, the text), or e-mails: a "
    "folder with `ham` and `spam` in the names of its folders, or an mbox"
)


def read_corpus(path: Path) -> Corpus:
    """Read labelled messages and leave out their duplicates.

    Raises:
        BadCorpus: they cannot be read, or a line or an e-mail has no label.
    """
    messages = read_messages(path)
    if path.is_file():
        content = path.read_bytes()
    else:
        content = b"".join(b"%d%s\0" % (m.is_spam, m.text.encode()) for m in messages)
    return distinct(path, sha256(content), messages)


def read_messages(path: Path) -> Sequence[LabelledMessage]:
    """Read labelled messages with all duplicates.

    Raises:
        BadCorpus: they cannot be read, or a line or an e-mail has no label.
    """
    try:
        return list(read_mail(path) if is_mail(path) else _parse(path, path.read_bytes()))
    except OSError as error:
        raise BadCorpus(path, None, f"it cannot be read ({error.strerror})") from error


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
    if label.strip().lower() not in ("ham", "spam"):
        reason = f"it must begin with `ham` or `spam` and a tab, and begins with {label[:20]!r}"
        raise BadCorpus(path, number, reason)
    if not tab:
        raise BadCorpus(path, number, "there is no text after the label")
    return LabelledMessage(text, is_spam=label.strip().lower() == "spam")

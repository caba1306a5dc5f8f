"""Read labeled e-mails from a folder, an mbox file or the archive that `download.py` fetches.

Collections keep spam in folders of its own, so the label of an e-mail comes from its path: the last
component that contains the word `ham` or `spam`. If there is none, the label comes from the header
`X-Spam-Flag: YES` or `NO`, which SpamAssassin writes.
"""

import gzip
import mailbox
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePath

from ml import mail
from ml.corpus import LabelledMessage
from ml.errors import BadCorpus

MAX_BYTES = 1 << 20  # loaded of an e-mail; `mail.py` reads less
_LABEL = re.compile(r"(?<![a-z])(?:ham|spam)(?![a-z])")
_FLAG = re.compile(rb"^X-Spam-Flag:[ \t]*(YES|NO)\b", re.IGNORECASE | re.MULTILINE)
_ARCHIVED = re.compile(r"[^/]+/data/[^/]+/[^/]+\.txt")


def is_mail(path: Path) -> bool:
    """Return whether a path holds e-mails: a folder, an archive or an mbox file."""
    if path.is_dir() or path.suffix == ".tgz":
        return True
    with path.open("rb") as file:
        return file.read(5) == b"From "


def read_mail(path: Path) -> Iterator[LabelledMessage]:
    """Read the texts of labeled e-mails, in the order of their paths.

    Raises:
        BadCorpus: an e-mail cannot be read or has no label.
    """
    for place, source in _sources(path):
        is_spam = _label(place, source)
        if is_spam is None:
            is_mbox = path.is_file() and place == PurePath(path.name)
            reason = (
                "the e-mail has no label: put it in a folder named `ham` or `spam`, or give it an "
                "`X-Spam-Flag` header"
            )
            raise BadCorpus(path if is_mbox else path / place, None, reason)
        yield LabelledMessage(mail.extract_text(source), is_spam)


def _sources(path: Path) -> Iterator[tuple[PurePath, bytes]]:
    """Yield the relative path and the source of each e-mail."""
    if path.suffix == ".tgz":
        yield from _archived(path)
        return
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    for file in files:
        place = file.relative_to(path) if path.is_dir() else PurePath(file.name)
        if path.is_dir() and any(part.startswith(".") for part in place.parts):
            continue
        if not path.is_dir() or file.suffix == ".mbox":
            with closing(mailbox.mbox(file, create=False)) as box:
                yield from ((place, box.get_bytes(key)) for key in box.iterkeys())
        else:
            with file.open("rb") as source:
                yield place, source.read(MAX_BYTES)


def _archived(path: Path) -> Iterator[tuple[PurePath, bytes]]:
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = [each for each in archive if each.isfile() and _ARCHIVED.fullmatch(each.name)]
            for member in sorted(members, key=lambda each: each.name):
                if file := archive.extractfile(member):
                    yield PurePath(member.name), file.read(MAX_BYTES)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise BadCorpus(path, None, f"it is not an intact archive ({error})") from error


def _label(place: PurePath, source: bytes) -> bool | None:
    for part in reversed(place.parts):
        if found := _LABEL.findall(part.lower()):
            return bool(found[-1] == "spam")
    flag = _FLAG.search(source.replace(b"\r\n", b"\n").partition(b"\n\n")[0])
    return flag[1].upper() == b"YES" if flag else None

"""Own how `ml` puts bytes on disk: whole or not at all; what is in them is the caller's."""

import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ml.errors import CannotWrite

DATA = Path(__file__).resolve().parent.parent / ".data"  # default home of all we write


def sha256(content: bytes) -> str:
    """Name content by its SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_file(path: Path, most: int) -> bytes:
    """Read a regular file; of another kind (a pipe without a writer) one might wait for ever.

    Raises:
        OSError: it cannot be read, is of another kind, or has more than so many bytes.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never half.

    Raises:
        CannotWrite: no permission, no space, or a file stands where a folder should.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CannotWrite(path, str(error)) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must not reach the disk before the bytes
        temporary.chmod(0o644)  # mkstemp says 0600; workers may run as another user
        temporary.replace(path)
    except OSError as error:
        raise CannotWrite(path, str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)

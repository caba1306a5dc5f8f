"""Own atomic writes and bounded reads of files."""

import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ml.errors import CannotWrite

DATA = Path(__file__).resolve().parent.parent / ".data"  # default folder for models and corpora


def sha256(content: bytes) -> str:
    """Return the SHA-256 of content in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a regular file; reading another kind, such as a pipe, could block for ever.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is larger than `max_bytes`.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", str(path))
    return content


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file, so that readers see the old or the new content, even after a crash.

    Raises:
        CannotWrite: no permission, no space, or a file is in the place of a folder.
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
            os.fsync(file.fileno())  # the bytes must reach the disk before the name
        temporary.chmod(0o644)  # mkstemp sets 0600, but workers may run as another user
        temporary.replace(path)
    except OSError as error:
        raise CannotWrite(path, str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)

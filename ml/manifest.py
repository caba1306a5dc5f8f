"""Own the manifest of a model folder, and the rules for trusting it.

A manifest holds the hashes of the model's files. The hashes of trusted manifests are kept outside
the folder, so that write access to the folder alone is not enough to replace a model. They are in
FOLDER.sha256, which training writes, or are passed by the reader.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ml.channels import Channel
from ml.errors import ModelCorrupt, ModelNotTrained
from ml.figures import Metrics, Thresholds
from ml.files import DATA, read_file, sha256, write_atomically

DEFAULT_MODELS = DATA / "models"  # has one model folder for each channel
VERSION = re.compile(r"[0-9a-f]{12}")

MAX_MANIFEST_BYTES = 65_536  # a manifest has about 1,500
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Training:
    """Record how a model was trained, for people and tools; scoring does not use it."""

    trained_at: str
    corpus: str
    corpus_sha256: str
    ham: int
    spam: int
    duplicates: int
    false_positive_rate: float
    libraries: dict[str, str]
    at_spam_threshold: Metrics
    at_half: Metrics


@dataclass(frozen=True)
class Manifest:
    """Describe a stored model; `golden` holds its scores for `inference.GOLDEN` at training."""

    channel: Channel
    version: str
    model_sha256: str
    pipeline_sha256: str
    thresholds: Thresholds
    golden: list[float]
    training: Training


def manifest_path(folder: Path) -> Path:
    """Return the path of the manifest, which changes whenever the model changes."""
    return folder / _MANIFEST


def hashes_path(folder: Path) -> Path:
    """Return the path of the file with the trusted hashes, beside the folder."""
    return _beside(folder, "sha256")


def lock_path(folder: Path) -> Path:
    """Return the path of the file that a training locks, beside the folder."""
    return _beside(folder, "lock")


def _beside(folder: Path, suffix: str) -> Path:
    folder = folder.absolute()  # `.` has no name
    return folder.parent / f"{folder.name}.{suffix}"


def read_manifest(folder: Path, trusted: frozenset[str] = frozenset()) -> Manifest:
    """Read the manifest of a model folder.

    Args:
        folder: the model folder.
        trusted: SHA-256 of the manifests to accept; if empty, those in FOLDER.sha256.

    Raises:
        ModelNotTrained: there is no manifest.
        ModelCorrupt: the manifest is not trusted, or another version of the code wrote it.
    """
    try:
        content = read_file(folder / _MANIFEST, MAX_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotTrained(folder) from error
    except OSError as error:
        raise ModelCorrupt(folder, f"{_MANIFEST} cannot be read ({error.strerror})") from error
    digest = sha256(content)
    if digest not in (trusted or _read_hashes(folder)):
        reason = f"the SHA-256 of its {_MANIFEST}, {digest}, is not in"
        if trusted:
            raise ModelCorrupt(
                folder, f"{reason} MODEL_SHA256; add it there if you trust the model"
            )
        raise ModelCorrupt(folder, f"{reason} {hashes_path(folder)}")
    return _parse(folder, content)


def record_trusted_hash(folder: Path, content: bytes) -> None:
    """Add the hash of a new manifest to the trusted ones, and keep that of the current manifest.

    Raises:
        CannotWrite: no permission or no space.
    """
    hashes = [sha256(content)]
    with contextlib.suppress(OSError):
        present = sha256(read_file(folder / _MANIFEST, MAX_MANIFEST_BYTES))
        hashes += [present] if present in _read_hashes(folder) else []
    write_atomically(hashes_path(folder), "".join(f"{each}\n" for each in hashes).encode())


def _parse(folder: Path, content: bytes) -> Manifest:
    try:
        fields = json.loads(content)
        fields["channel"] = Channel(fields["channel"])
        fields["thresholds"] = Thresholds(**fields["thresholds"])
        fields["golden"] = [float(score) for score in fields["golden"]]
        for name in ("at_spam_threshold", "at_half"):
            fields["training"][name] = Metrics(**fields["training"][name])
        manifest = Manifest(**fields | {"training": Training(**fields["training"])})
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        reason = f"{_MANIFEST} was written by another version of the code ({error})"
        raise ModelCorrupt(folder, reason) from error
    if not VERSION.fullmatch(str(manifest.version)):  # it becomes part of a path
        raise ModelCorrupt(folder, f"{_MANIFEST} has the invalid version {manifest.version!r}")
    return manifest


def _read_hashes(folder: Path) -> list[str]:
    try:
        return read_file(hashes_path(folder), MAX_MANIFEST_BYTES).decode().split()
    except (OSError, ValueError):  # missing, or not text
        return []

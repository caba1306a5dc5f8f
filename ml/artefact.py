"""Own the trained model on disk: its files, their hashes, and that nobody ever reads half of one.

    FOLDER/manifest.json            what the model is, the SHA-256 of its files; replaced last
    FOLDER/<version>/model.npz      what serving reads: numbers and text, no pickle
    FOLDER/<version>/model.joblib   the same as a scikit-learn pipeline, for those who explore

`<version>` is the start of model.npz's hash, so a folder never changes what it means. The manifest
names the version in use; the one before stays, for a reader that has just read the old manifest.
"""

import contextlib
import io
import json
import re
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.errors import ModelCorrupt, ModelNotTrained
from ml.figures import Figures, Thresholds
from ml.files import DATA, sha256, write_whole

DEFAULT_MODEL = DATA / "models" / "sms"

_MODEL = "model.npz"
_PIPELINE = "model.joblib"
_MANIFEST = "manifest.json"
_VERSION = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class ViewWeights:
    """Hold one view's vocabulary and, in its order, each term's idf and coefficient."""

    terms: tuple[str, ...]
    idf: NDArray[np.float64]
    coefficients: NDArray[np.float64]


@dataclass(frozen=True)
class FoldedModel:
    """Hold all that serving needs of a fitted pipeline."""

    words: ViewWeights
    characters: ViewWeights
    intercept: float
    trained_on: NDArray[np.uint64]  # fingerprints of its messages, to tell new ones from seen ones


@dataclass(frozen=True)
class Training:
    """Record how a model came to be; in the manifest for people and tools, not used to score."""

    trained_at: str
    corpus: str
    corpus_sha256: str
    ham: int
    spam: int
    duplicates: int
    libraries: dict[str, str]
    at_spam_threshold: Figures
    at_half: Figures


@dataclass(frozen=True)
class Manifest:
    """Describe a stored model; `golden` are its scores of `inference.GOLDEN` at training."""

    version: str
    model_sha256: str
    pipeline_sha256: str
    thresholds: Thresholds
    golden: list[float]
    training: Training


def write_artefact(
    folder: Path,
    model: FoldedModel,
    pipeline: bytes,
    thresholds: Thresholds,
    golden: list[float],
    training: Training,
) -> Manifest:
    """Store a model and make it the one in use, in one step for whoever reads.

    `pipeline` is the same model as joblib dumps it.

    Raises:
        CannotWrite: no permission, no space, or `folder` is a file.
    """
    packed = _pack(model)
    digest = sha256(packed)
    manifest = Manifest(digest[:12], digest, sha256(pipeline), thresholds, golden, training)
    write_whole(folder / manifest.version / _MODEL, packed)
    write_whole(folder / manifest.version / _PIPELINE, pipeline)
    keep = {manifest.version}
    with contextlib.suppress(ModelNotTrained, ModelCorrupt):
        keep.add(read_manifest(folder).version)
    write_whole(folder / _MANIFEST, json.dumps(asdict(manifest), indent=2).encode())
    _remove_versions(folder, keep)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read what a folder says about its model.

    Raises:
        ModelNotTrained: there is none.
        ModelCorrupt: it is not a manifest of this version of the code.
    """
    try:
        fields = json.loads((folder / _MANIFEST).read_bytes())
        fields["thresholds"] = Thresholds(**fields["thresholds"])
        fields["golden"] = [float(score) for score in fields["golden"]]
        for name in ("at_spam_threshold", "at_half"):
            fields["training"][name] = Figures(**fields["training"][name])
        manifest = Manifest(**fields | {"training": Training(**fields["training"])})
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotTrained(folder) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelCorrupt(folder, f"{_MANIFEST} cannot be read ({error})") from error
    if not _VERSION.fullmatch(str(manifest.version)):  # it becomes a part of a path
        raise ModelCorrupt(folder, f"{_MANIFEST} names the version {manifest.version!r}")
    return manifest


def read_model(folder: Path, manifest: Manifest) -> FoldedModel:
    """Read the model that a manifest describes, after checking its hash.

    Raises:
        ModelCorrupt: it is missing or altered.
    """
    try:
        packed = (folder / manifest.version / _MODEL).read_bytes()
    except OSError as error:
        raise ModelCorrupt(folder, f"{_MODEL} cannot be read ({error.strerror})") from error
    if sha256(packed) != manifest.model_sha256:
        raise ModelCorrupt(folder, f"{_MODEL} is not the file that was written at training")
    try:
        return _unpack(packed)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelCorrupt(folder, f"{_MODEL} has another layout ({error})") from error


def _pack(model: FoldedModel) -> bytes:
    arrays: dict[str, NDArray[np.generic]] = {
        "intercept": np.array(model.intercept),
        "trained_on": model.trained_on,
    }
    for name, view in (("words", model.words), ("characters", model.characters)):
        # one text, as numpy would pad each term to the longest; no term holds a line feed
        arrays[f"{name}_terms"] = np.frombuffer("\n".join(view.terms).encode(), np.uint8)
        arrays[f"{name}_idf"] = view.idf
        arrays[f"{name}_coefficients"] = view.coefficients
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpack(packed: bytes) -> FoldedModel:
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        words, characters = (
            ViewWeights(
                terms=tuple(arrays[f"{name}_terms"].tobytes().decode().split("\n")),
                idf=arrays[f"{name}_idf"],
                coefficients=arrays[f"{name}_coefficients"],
            )
            for name in ("words", "characters")
        )
        return FoldedModel(words, characters, float(arrays["intercept"]), arrays["trained_on"])


def _remove_versions(folder: Path, keep: Iterable[str]) -> None:
    for path in folder.iterdir():
        if _VERSION.fullmatch(path.name) and path.name not in keep:
            (path / _MODEL).unlink(missing_ok=True)
            (path / _PIPELINE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody keeps a file of theirs in it
                path.rmdir()

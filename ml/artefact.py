"""Own what a trained model is and how it lies on disk; `storing.py` puts it there.

    FOLDER/manifest.json            what the model is, the SHA-256 of its files; replaced last
    FOLDER/<version>/model.npz      what serving reads: numbers and text, no pickle
    FOLDER/<version>/model.joblib   the same as a scikit-learn estimator, for those who explore
    FOLDER.sha256                   of the manifests that training wrote, the last one first

`<version>` is the start of model.npz's hash, so a folder never changes what it means. The manifest
names the version in use; the one before stays, for a reader that has just read the old manifest.

What is in a manifest, and why it is believed, is `manifest.py`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.errors import ModelCorrupt
from ml.files import read_file, sha256
from ml.manifest import Manifest
from ml.npz import read_npz

MODEL = "model.npz"
MAX_MODEL = 1 << 26  # bytes; that of e-mail has about a million


@dataclass(frozen=True)
class ViewWeights:
    """Hold one view's vocabulary and, in its order, each term's idf and coefficient."""

    terms: tuple[str, ...]
    idf: Sequence[float]
    coefficients: Sequence[float]


@dataclass(frozen=True)
class FoldedModel:
    """Hold all that serving needs of a fitted pipeline."""

    words: ViewWeights
    characters: ViewWeights
    intercept: float
    trained_on: Sequence[int]  # fingerprints of its messages, to tell new ones from seen ones


def read_model(folder: Path, manifest: Manifest) -> FoldedModel:
    """Read the model that a manifest describes, after checking its hash.

    Raises:
        ModelCorrupt: it is missing or altered.
    """
    try:
        packed = read_file(folder / manifest.version / MODEL, MAX_MODEL)
    except OSError as error:
        raise ModelCorrupt(folder, f"{MODEL} cannot be read ({error.strerror})") from error
    if sha256(packed) != manifest.model_sha256:
        raise ModelCorrupt(folder, f"{MODEL} is not the file that was written at training")
    try:
        return _unpack(packed)
    except (ValueError, KeyError, ArithmeticError) as error:
        raise ModelCorrupt(folder, f"{MODEL} has another layout ({error})") from error


def _unpack(packed: bytes) -> FoldedModel:
    arrays = read_npz(packed)
    words, characters = (
        ViewWeights(
            terms=tuple(arrays[f"{name}_terms"].tobytes().decode().split("\n")),
            idf=arrays[f"{name}_idf"].tolist(),
            coefficients=arrays[f"{name}_coefficients"].tolist(),
        )
        for name in ("words", "characters")
    )
    (intercept,) = arrays["intercept"]
    return FoldedModel(words, characters, intercept, [int(each) for each in arrays["trained_on"]])

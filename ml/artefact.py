"""Own a trained model's data and its files on disk; `storing.py` writes them.

    FOLDER/manifest.json            describes the model, with its files' SHA-256; written last
    FOLDER/<version>/model.npz      the numbers and text that serving reads; no pickle
    FOLDER/<version>/model.joblib   the same model as a scikit-learn estimator, for exploration
    FOLDER.sha256                   hashes of the manifests that training wrote, newest first

`<version>` is the start of the hash of `model.npz`, so the content of a version folder never
changes. The manifest names the version in use. The previous version stays on disk, for a process
that read the old manifest a moment ago.

`manifest.py` owns the content of a manifest and the rules for trusting it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.errors import ModelCorrupt
from ml.files import read_file, sha256
from ml.manifest import Manifest
from ml.npz import read_npz

MODEL = "model.npz"
MAX_MODEL_BYTES = 1 << 26  # the e-mail model has about 1 MB


@dataclass(frozen=True)
class ViewWeights:
    """Hold the vocabulary of one view, and the idf and coefficient of each term, in its order."""

    terms: tuple[str, ...]
    idf: Sequence[float]
    coefficients: Sequence[float]


@dataclass(frozen=True)
class ExportedModel:
    """Hold the parts of a fitted pipeline that serving needs."""

    words: ViewWeights
    characters: ViewWeights
    intercept: float
    trained_on: Sequence[int]  # fingerprints of the training messages, to recognize them later


def read_model(folder: Path, manifest: Manifest) -> ExportedModel:
    """Check the hash of the model that a manifest describes, and read it.

    Raises:
        ModelCorrupt: the model file is missing or altered.
    """
    try:
        packed = read_file(folder / manifest.version / MODEL, MAX_MODEL_BYTES)
    except OSError as error:
        raise ModelCorrupt(folder, f"{MODEL} cannot be read ({error.strerror})") from error
    if sha256(packed) != manifest.model_sha256:
        raise ModelCorrupt(folder, f"{MODEL} is not the file that training wrote")
    try:
        return _unpack(packed)
    except (ValueError, KeyError, ArithmeticError) as error:
        raise ModelCorrupt(folder, f"{MODEL} has an unknown layout ({error})") from error


def _unpack(packed: bytes) -> ExportedModel:
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
    return ExportedModel(words, characters, intercept, [int(each) for each in arrays["trained_on"]])

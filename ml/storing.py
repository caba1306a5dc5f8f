"""Store a trained model so that nobody ever reads half of one; `artefact.py` says where it lies."""

import contextlib
import fcntl
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ml.artefact import MODEL, FoldedModel
from ml.channels import Channel
from ml.errors import CannotWrite, ModelCorrupt, ModelNotTrained
from ml.figures import Thresholds
from ml.files import sha256, write_whole
from ml.manifest import (
    VERSION,
    Manifest,
    Training,
    lock_path,
    manifest_path,
    read_manifest,
    vouch_for,
)

_PIPELINE = "model.joblib"


def write_artefact(
    folder: Path,
    model: FoldedModel,
    pipeline: bytes,
    channel: Channel,
    thresholds: Thresholds,
    golden: list[float],
    training: Training,
) -> Manifest:
    """Store a model and make it the one in use, in one step for whoever reads.

    Trainings into one folder wait for each other here. `pipeline` is the same model as joblib dumps
    it.

    Raises:
        CannotWrite: no permission, no space, or `folder` is a file.
    """
    packed = _pack(model)
    digest = sha256(packed)
    version = digest[:12]
    manifest = Manifest(channel, version, digest, sha256(pipeline), thresholds, golden, training)
    with _alone(folder):
        replaced = _version_in_use(folder)
        write_whole(folder / version / MODEL, packed)
        write_whole(folder / version / _PIPELINE, pipeline)
        content = json.dumps(asdict(manifest), indent=2).encode()
        # before the manifest is there: who reads it must find its hash
        vouch_for(folder, content)
        write_whole(manifest_path(folder), content)
        if replaced not in ("", version):  # else what is there is the one before, or not ours
            _remove_versions(folder, {version, replaced})
    return manifest


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # beside the folder, as who can only write into it shall not stop a training
        lock = os.open(lock_path(folder), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise CannotWrite(folder, str(error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _pack(model: FoldedModel) -> bytes:
    arrays = {
        "intercept": np.array([model.intercept], dtype=np.float64),
        "trained_on": np.array(model.trained_on, dtype=np.uint64),
    }
    for name, view in (("words", model.words), ("characters", model.characters)):
        # one text, as numpy would pad each term to the longest; no term holds a line feed
        arrays[f"{name}_terms"] = np.frombuffer("\n".join(view.terms).encode(), np.uint8)
        arrays[f"{name}_idf"] = np.array(view.idf)
        arrays[f"{name}_coefficients"] = np.array(view.coefficients)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _version_in_use(folder: Path) -> str:
    try:
        return read_manifest(folder).version
    except (ModelNotTrained, ModelCorrupt):
        return ""


def _remove_versions(folder: Path, keep: set[str]) -> None:
    for path in folder.iterdir():
        if VERSION.fullmatch(path.name) and path.name not in keep:
            (path / MODEL).unlink(missing_ok=True)
            (path / _PIPELINE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody keeps a file of theirs in it
                path.rmdir()

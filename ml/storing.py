"""Store a trained model so that readers never see a partial one; `artefact.py` owns the layout."""

import contextlib
import fcntl
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ml.artefact import MODEL, ExportedModel
from ml.channels import Channel
from ml.errors import CannotWrite, ModelCorrupt, ModelNotTrained
from ml.figures import Thresholds
from ml.files import sha256, write_atomically
from ml.manifest import (
    VERSION,
    Manifest,
    Training,
    lock_path,
    manifest_path,
    read_manifest,
    record_trusted_hash,
)

_PIPELINE = "model.joblib"


def write_artefact(
    folder: Path,
    model: ExportedModel,
    pipeline: bytes,
    channel: Channel,
    thresholds: Thresholds,
    golden: list[float],
    training: Training,
) -> Manifest:
    """Store a model and make it the one in use, atomically for readers.

    Concurrent trainings into the same folder wait for each other. `pipeline` is the same model as
    joblib dumps it.

    Raises:
        CannotWrite: no permission, no space, or `folder` is a file.
    """
    packed = _pack(model)
    digest = sha256(packed)
    version = digest[:12]
    manifest = Manifest(channel, version, digest, sha256(pipeline), thresholds, golden, training)
    with _exclusive_lock(folder):
        replaced = _version_in_use(folder)
        write_atomically(folder / version / MODEL, packed)
        write_atomically(folder / version / _PIPELINE, pipeline)
        content = json.dumps(asdict(manifest), indent=2).encode()
        # first, because a reader of the new manifest must find its hash
        record_trusted_hash(folder, content)
        write_atomically(manifest_path(folder), content)
        if replaced not in ("", version):  # else the folder has at most one previous version
            _remove_versions(folder, {version, replaced})
    return manifest


@contextlib.contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # beside the folder, so that write access to the folder alone cannot block a training
        lock = os.open(lock_path(folder), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise CannotWrite(folder, str(error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _pack(model: ExportedModel) -> bytes:
    arrays = {
        "intercept": np.array([model.intercept], dtype=np.float64),
        "trained_on": np.array(model.trained_on, dtype=np.uint64),
    }
    for name, view in (("words", model.words), ("characters", model.characters)):
        # as one text, because numpy pads each string to the longest; no term has a line feed
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
            with contextlib.suppress(OSError):  # it contains a file that we did not write
                path.rmdir()

"""Keep the model of a folder loaded, and reload it when training stores a new one."""

import logging
import time
from pathlib import Path

from ml.channels import Channel
from ml.errors import MlError
from ml.inference import SpamModel
from ml.manifest import hashes_path, manifest_path

RETRY_S = 10  # when a model is copied by hand, its manifest may arrive before its other files

logger = logging.getLogger(__name__)

Stamp = tuple[tuple[int, ...], ...]


class LiveModel:
    """Provide the model in use; `current` takes about 3 us while the files do not change."""

    def __init__(
        self, folder: Path, channel: Channel, trusted: frozenset[str] = frozenset()
    ) -> None:
        self._folder = folder
        self._channel = channel
        self._trusted = trusted
        self._model: SpamModel | None = None
        self._stamp: Stamp = ()
        self._refused_at = 0.0
        self._refusal = ""

    def current(self) -> SpamModel:
        """Return the folder's model, or the last good one if the new one cannot be used.

        Raises:
            ModelNotTrained: there is no model and none was loaded before.
            ModelCorrupt: the model cannot be used and none was loaded before.
        """
        stamp = _stamp(self._folder)
        if self._model and stamp == self._stamp and not self._is_retry_due():
            return self._model
        try:
            self._model = SpamModel.load(self._folder, self._trusted, self._channel)
            if self._stamp:
                logger.info("loaded the new spam model %s", self._model.version)
            self._refusal = ""
        except MlError as error:
            if self._model is None:
                raise
            if str(error) != self._refusal:  # log it once, not for each message
                logger.error("spam model %s stays in use: %s", self._model.version, error)  # noqa: TRY400
            self._refusal = str(error)
            self._refused_at = time.monotonic()
        self._stamp = stamp
        return self._model

    def _is_retry_due(self) -> bool:
        return bool(self._refusal) and time.monotonic() - self._refused_at > RETRY_S


def _stamp(folder: Path) -> Stamp:
    """Return a value that changes whenever the manifest or the trusted hashes change."""
    found: list[tuple[int, ...]] = []
    for path in (manifest_path(folder), hashes_path(folder)):
        try:
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
        except OSError:
            found.append(())
    return tuple(found)

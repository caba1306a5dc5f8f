"""`python -m ml.check_model FOLDER`: whether a stored model can be used, without scikit-learn."""

import os
import sys
from pathlib import Path

from ml.errors import MlError
from ml.inference import SpamModel

REFUSED = os.EX_DATAERR  # unlike a crash of the command itself, which is 1


def main(folder: Path) -> int:
    """Load the model as a worker does, and return 0, or 65 after one sentence that says why not."""
    try:
        SpamModel.load(folder)
    except MlError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

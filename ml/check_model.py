"""Own `python -m ml.check_model FOLDER`, which checks that a stored model can be used.

It loads neither scikit-learn nor numpy.
"""

import os
import sys
from pathlib import Path

from ml.errors import MlError
from ml.inference import SpamModel

REFUSED = os.EX_DATAERR  # 65; a crash of the command itself exits with 1


def main(folder: Path) -> int:
    """Load the model as a worker does.

    Returns:
        Exit code 0, or 65 after one sentence on standard error that says why it cannot be used.
    """
    try:
        SpamModel.load(folder)
    except MlError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

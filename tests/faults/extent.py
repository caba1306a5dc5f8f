"""How many faults a test run causes, and the figures that it measures."""

from __future__ import annotations

import os
import sys

WHOLE = os.environ.get("FAULTS") == "whole"  # Otherwise fewer kills and mutations, to save time.


def show_figure(figure: str) -> None:
    """Print a measured figure, which pytest shows with `-s`."""
    sys.stdout.write(f"\n  {figure}\n")

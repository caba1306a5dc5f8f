"""Run one side of `bench.spam`: load the model in a new process, score messages, print figures.

Times are CPU time, which depends less on other programs of the machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

# Imports are part of the cost of a side, so they happen while it is measured.


def _serving(folder: Path) -> Callable[[str], object]:
    from ml.inference import SpamModel  # noqa: PLC0415

    return SpamModel.load(folder).verdict


def _scikit_learn(folder: Path) -> Callable[[str], object]:
    import joblib  # noqa: PLC0415

    from ml.manifest import read_manifest  # noqa: PLC0415

    classifier = joblib.load(folder / read_manifest(folder).version / "model.joblib")
    return lambda message: classifier.predict_proba([message])


SIDES = {"serving": _serving, "scikit-learn": _scikit_learn}


def measure(side: str, folder: Path, data: Path) -> dict[str, float]:
    """Load the model of one side and score each message."""
    before = psutil.Process().memory_info().rss
    began = time.process_time()
    score = SIDES[side](folder)
    load_s = time.process_time() - began
    messages = [line.partition("\t")[2] for line in data.read_text("utf-8").split("\n") if line]
    messages = messages if side == "serving" else messages[:500]  # already takes 1 s
    times = []
    for message in messages:
        began = time.process_time()
        score(message)
        times.append(time.process_time() - began)
    return {
        "load_ms": load_s * 1e3,
        "p50_us": statistics.median(times) * 1e6,
        "per_second": len(times) / sum(times),
        "memory_mb": (psutil.Process().memory_info().rss - before) / 1e6,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))

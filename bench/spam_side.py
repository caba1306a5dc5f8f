"""One side of `bench.spam`: load the model in a fresh process, score messages, print the figures.

Times are CPU time, so that other programs on the machine count less.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

# What a side imports is a part of what it costs, so it is imported when it is measured.


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
    """Load one side's model and score each message; times are CPU time."""
    before = psutil.Process().memory_info().rss
    began = time.process_time()
    score = SIDES[side](folder)
    load_s = time.process_time() - began
    messages = [line.partition("\t")[2] for line in data.read_text("utf-8").split("\n") if line]
    messages = messages if side == "serving" else messages[:500]  # which takes a second
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

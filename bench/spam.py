"""Serving the spam model beside scikit-learn's own pipeline: `python -m bench.spam`.

Both score the messages of the SMS corpus one by one, each in a process of its own, in alternating
rounds (`bench.spam_side`), with a model that is trained first.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from ml.channels import Channel
from ml.console import load_corpus
from ml.train_spam_detector import main as train
from tasks.engine.embedded import private_redis
from tests.processes import running_worker

SIDES = ("serving", "scikit-learn")
ROUNDS = 5
MB = 1_000_000


def _in_a_process(side: str, folder: Path, data: Path) -> dict[str, float]:
    argv = [sys.executable, "-m", "bench.spam_side", side, str(folder), str(data)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _worker_memory(models: Path, folder: Path) -> int:
    """Give the bytes that a worker of the queue `ml_service` holds after the whole corpus."""
    from tasks.engine import app  # noqa: PLC0415
    from tasks.spam import detect_spam_batch  # noqa: PLC0415

    messages = [message.text for message in load_corpus(None, Channel.SMS, quiet=True).messages]

    with private_redis(folder / "redis") as url:
        before = app.conf.broker_url
        backend = app.conf.result_backend.replace(before, url)
        app.conf.update(broker_url=url, result_backend=backend)
        settings = {"REDIS_URL": url, "MODEL_DIR": str(models)}
        with running_worker("ml_service", settings, folder / "worker.log") as worker:
            for start in range(0, len(messages), 1_000):
                detect_spam_batch.delay(messages[start : start + 1_000]).get(timeout=60)
            used: int = psutil.Process(worker.pid).memory_info().rss
    return used


def main() -> int:
    """Print both sides and their ratios."""
    with TemporaryDirectory() as name:
        models = Path(name) / "models"
        train(["--out", str(models / "sms")])
        data = load_corpus(None, Channel.SMS, quiet=True).path
        rounds = [
            {side: _in_a_process(side, models / "sms", data) for side in SIDES}
            for _ in range(ROUNDS)
        ]
        worker = _worker_memory(models, Path(name))
    medians = {
        side: {
            key: statistics.median(each[side][key] for each in rounds) for key in rounds[0][side]
        }
        for side in SIDES
    }
    sys.stdout.write("".join(f"{line}\n" for line in _table(medians, worker)))
    return 0


def _table(medians: dict[str, dict[str, float]], worker: int) -> list[str]:
    ours, theirs = medians.values()
    rows = [
        ("one message, p50, us", "p50_s", 1e6, "150"),
        ("messages a second", "per_second", 1, "5,500"),
        ("load, ms", "load_s", 1e3, "150"),
        ("memory for it, MB", "memory_bytes", 1 / MB, ""),
    ]
    lines = [f"{'':24}{'serving':>10}{'scikit-learn':>14}{'ratio':>8}{'to reach':>10}"]
    for title, key, unit, target in rows:
        ratio = ours[key] / theirs[key]
        numbers = f"{ours[key] * unit:10,.0f}{theirs[key] * unit:14,.0f}{ratio:8.2f}"
        lines.append(f"{title:24}{numbers}{target:>10}")
    return [*lines, f"{'a worker after all, MB':24}{worker / MB:10,.0f}{'':22}{'100':>10}"]


if __name__ == "__main__":
    sys.exit(main())

"""Compare serving the spam model with scikit-learn's own estimator: CPU, start and memory.

A model is trained first. Then each side scores the messages of the SMS corpus one by one, in its
own process (`bench.spam_side`).
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psutil

from bench.rows import Row
from bench.stage import Stage
from ml.channels import Channel
from ml.console import load_corpus
from ml.corpus import Corpus
from ml.train_spam_detector import main as train
from tests.processes import running_worker

_SIDES = ("serving", "scikit-learn")
_A_BATCH = 1_000


async def measure(stage: Stage) -> AsyncIterator[Row]:
    """Compare with the joblib dump of the same model, in alternating rounds."""
    models = stage.folder / "models"
    with contextlib.redirect_stdout(sys.stderr):
        train(["--out", str(models / "sms")])
    corpus = load_corpus(None, Channel.SMS, quiet=True)
    rounds = [[_run(side, models, corpus.path) for side in _SIDES] for _ in range(stage.rounds)]
    ours, theirs = (
        {key: statistics.median(each[side][key] for each in rounds) for key in rounds[0][side]}
        for side in range(len(_SIDES))
    )

    def row(what: str, key: str, unit: str, to_reach: float, *, is_rate: bool = False) -> Row:
        return Row(what, "scikit-learn", ours[key], theirs[key], unit, to_reach, is_rate)

    yield row("a spam verdict, p50", "p50_us", "us CPU", 0.2)
    yield row("spam verdicts, one core", "per_second", "/s CPU", 5, is_rate=True)
    yield row("spam model, import and load", "load_ms", "ms CPU", 0.2)
    yield row("spam model, resident memory", "memory_mb", "MB", 0.5)
    yield Row("a spam verdict, p50", "", ours["p50_us"], None, "us CPU", 150)
    yield Row("spam verdicts, one core", "", ours["per_second"], None, "/s", 5_500, is_rate=True)
    yield Row("spam model, import and load", "", ours["load_ms"], None, "ms CPU", 150)
    memory = _worker_memory(stage, models, corpus) / 1e6
    yield Row("worker after all of the corpus, resident memory", "", memory, None, "MB", 100)


def _run(side: str, models: Path, data: Path) -> dict[str, float]:
    argv = [sys.executable, "-m", "bench.spam_side", side, str(models / "sms"), str(data)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _worker_memory(stage: Stage, models: Path, corpus: Corpus) -> int:
    """Return the resident bytes of an `ml_service` worker after it classified the corpus."""
    from tasks.celery_app import app  # noqa: PLC0415
    from tasks.spam import detect_spam_batch  # noqa: PLC0415

    backend = app.conf.result_backend.replace(app.conf.broker_url, stage.redis_url)
    app.conf.update(broker_url=stage.redis_url, result_backend=backend)
    texts = [message.text for message in corpus.messages]
    environment = stage.environment | {"MODEL_DIR": str(models)}
    run = partial(running_worker, "ml_service", environment, stage.folder / "spam.log")
    with run():
        pass  # compiles the bytecode, so that the compiler's memory is not measured
    with run() as worker:
        for start in range(0, len(texts), _A_BATCH):
            detect_spam_batch.delay(texts[start : start + _A_BATCH]).get(timeout=60)
        used: int = psutil.Process(worker.pid).memory_info().rss
    return used

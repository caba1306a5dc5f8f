"""A stock Celery app, with no setting but the address of Redis."""

from __future__ import annotations

import os

from celery import Celery

_REDIS = os.environ.get("PEER_REDIS_URL", "redis://127.0.0.1:6379/1")

app = Celery("stock", broker=_REDIS, backend=_REDIS, set_as_current=False)


@app.task(shared=False, name="add")
def add(x: float, y: float) -> float:
    """Add two numbers."""
    return x + y

"""A plain FastAPI app that calls `.delay()`, as most projects with Celery have."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from bench.peers.stock import add

app = FastAPI()


class Numbers(BaseModel):
    """The arguments of `add`."""

    x: float
    y: float


class Enqueued(BaseModel):
    """The id that the caller polls with, and the first state."""

    id: str
    state: str


@app.post("/add")
def enqueue(numbers: Numbers) -> Enqueued:
    """Enqueue one task; not `async`, because `.delay()` blocks."""
    return _enqueue(numbers)


@app.post("/add-many")
def enqueue_many(tasks: list[Numbers]) -> list[Enqueued]:
    """Enqueue many tasks, one after the other."""
    return [_enqueue(numbers) for numbers in tasks]


def _enqueue(numbers: Numbers) -> Enqueued:
    return Enqueued(id=add.delay(numbers.x, numbers.y).id, state="PENDING")

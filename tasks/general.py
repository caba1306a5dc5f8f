"""General tasks for trying out an installation: one returns at once, one takes time."""

import time
from typing import Annotated

from pydantic import Field

from celeryql import report_progress
from tasks.celery_app import app

_PARTS = 10


@app.task
def echo(
    message: Annotated[str, Field(max_length=8_192, description="The text to return.")],
) -> str:
    """Return the message."""
    return message


@app.task(acks_late=True)
def wait(
    seconds: Annotated[float, Field(ge=0, le=3_600, description="How long to wait.")],
) -> float:
    """Wait, and report progress ten times."""
    for part in range(1, _PARTS + 1):
        time.sleep(seconds / _PARTS)
        report_progress(part, _PARTS, f"waited {seconds * part / _PARTS:g} of {seconds:g} s")
    return seconds

"""The next steps of a workflow: messages of the steps whose sources have all succeeded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import EncodeError

from celeryql.broker.captured_messages import CapturedMessage, build_only_options, capturing
from celeryql.records import TaskId
from celeryql.state.graph import Join
from celeryql.workflow.canvas import fill_shape

MAX_PASSED_BYTES = 64_000_000  # in all messages that the end of one step sends


def build_next_steps(
    app: Celery,
    join: Join,
    signatures: Sequence[bytes | None],
    results: Mapping[TaskId, Any],
    *,
    parent: TaskId,
) -> list[CapturedMessage]:
    """Build the messages of a join's targets.

    Args:
        app: the Celery app of the tasks.
        join: which results the targets get, and in which shape.
        signatures: of the targets; None for a target that was canceled.
        results: of the sources.
        parent: the source that succeeded last.

    Raises:
        EncodeError: the messages would be too large. Celery then fails the source.
    """
    value = fill_shape(join.value, results)
    size = len(json.dumps(value)) * len(join.targets)
    if size > MAX_PASSED_BYTES:
        raise EncodeError(
            f"Passing the results to {len(join.targets)} steps would take {size:,} bytes, but "
            f"{MAX_PASSED_BYTES:,} are allowed: return less, or pass a reference to it"
        )
    with capturing() as messages:
        for text in signatures:
            if text is not None:
                signature = app.signature(json.loads(text))
                signature.apply_async((value,), parent_id=parent, **build_only_options())
    return messages

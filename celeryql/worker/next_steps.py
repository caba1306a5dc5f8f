"""Releases steps: makes the messages of those that wait no longer, with what they are handed."""

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

MAX_HANDED_BYTES = 64_000_000  # in all messages that the end of one step sets off


def build_next_steps(
    app: Celery,
    join: Join,
    signatures: Sequence[bytes | None],
    results: Mapping[TaskId, Any],
    *,
    parent: TaskId,
) -> list[CapturedMessage]:
    """Make the messages of the targets of a join whose sources have all succeeded.

    Args:
        app: whose tasks they are.
        join: says which results are handed over, and in which shape.
        signatures: of the targets; None for one that was canceled.
        results: of the sources.
        parent: the source that was the last.

    Raises:
        EncodeError: they would be too large; Celery makes a failure of the task of it.
    """
    value = fill_shape(join.value, results)
    size = len(json.dumps(value)) * len(join.targets)
    if size > MAX_HANDED_BYTES:
        raise EncodeError(
            f"Handing the results on to {len(join.targets)} steps would take {size:,} bytes; "
            f"{MAX_HANDED_BYTES:,} are allowed"
        )
    with capturing() as messages:
        for text in signatures:
            if text is not None:
                signature = app.signature(json.loads(text))
                signature.apply_async((value,), parent_id=parent, **build_only_options())
    return messages

"""Events as clients see them, in a stream and in a task's history alike."""

from __future__ import annotations

from datetime import datetime

import strawberry
from graphql import ExecutionResult

from celeryql.errors import CursorExpired, UnknownCursor
from celeryql.records import Cursor, Event, EventKind, Record
from celeryql.watching.event_stream import Snapshot
from graphql_api.api_errors import ApiError, Code
from graphql_api.context import Info
from graphql_api.types import decorators
from graphql_api.types.scalars import EventCursor, TaskRef, WorkflowRef

_HISTORY = 20
_HISTORY_MAX = 100
_STEP_LOOK = 500  # events of a workflow looked at in one round trip for those of one step
_LOOKED_AT = 10  # events that are read take as long as one item of an answer
_PRESENTED = 2  # events that are made objects do, too


decorators.enum(
    EventKind,
    {
        "SNAPSHOT": "Replaces whatever you held.",
        "STATE": "The task has another state.",
        "PROGRESS": "The task has told how far it is.",
        "GAP": "`after` was older than what is kept; a snapshot follows.",
    },
    name="TaskEventKind",
)


@decorators.type
class TaskEvent:
    """One change.

    Of `task`, and of the `workflow` it belongs to (null on a workflow's own events), state, counts,
    progress, times and version are as of this event; links (`steps`, `output`) and results are read
    now.
    """

    cursor: EventCursor = strawberry.field(description="Resume after this.")
    at: datetime = strawberry.field(description="When it happened.")
    kind: EventKind = strawberry.field(description="What it tells.")
    task: TaskRef = strawberry.field(description="The task that changed.")
    workflow: WorkflowRef | None = strawberry.field(description="The workflow it is a step of.")
    #: What a subscription answers with; the same for all who share the object.
    answer: strawberry.Private[ExecutionResult | None] = None


async def present_event(info: Info, event: Event) -> TaskEvent | None:
    """Make the object of an event; None where its task is forgotten, or hidden from the viewer."""
    known, present = info.context.known, info.context.present
    record = await known(event.id)
    if record is None:
        return None
    root = await known(record.root) if event.workflow else None
    return TaskEvent(
        cursor=EventCursor(event.cursor),
        at=event.at,
        kind=event.kind,
        task=present(record.as_of(event), event.workflow),
        workflow=present(root, event.workflow) if root else None,
    )


async def present_snapshot(info: Info, snapshot: Snapshot) -> TaskEvent:
    """Make the object of a task as it is now."""
    record, present = snapshot.record, info.context.present
    is_step = record.root != record.id
    root = await info.context.records.load(record.root) if is_step else None
    return TaskEvent(
        cursor=EventCursor(snapshot.cursor),
        at=record.finished_at or record.started_at or record.created_at,
        kind=snapshot.kind,
        task=present(record),
        workflow=present(root) if root else None,
    )


async def past(info: Info, after: EventCursor | None) -> Cursor | None:
    """Give a cursor that a client names to the engine.

    Raises:
        ApiError: no event has it yet.
    """
    if after is None:
        return None
    try:
        await info.context.engine.event_stream.check(Cursor(after))
    except UnknownCursor as error:
        raise ApiError(str(error), Code.BAD_USER_INPUT) from error
    return Cursor(after)


async def read_history(
    info: Info, task: Record, first: int | None, after: EventCursor | None
) -> list[TaskEvent]:
    """Read a page of a task's events, oldest first.

    Raises:
        ApiError: a size out of range, a cursor that no event has yet, or too much for one answer.
    """
    size = _HISTORY if first is None else first
    if not 1 <= size <= _HISTORY_MAX:
        text = f"A page has 1 to {_HISTORY_MAX} events, not {size}"
        raise ApiError(text, Code.BAD_USER_INPUT)
    info.context.take(size / _PRESENTED)  # at once, before the first of many histories is read
    behind = await past(info, after)
    try:
        events = await _kept(info, task, size, behind)
    except CursorExpired:
        events = await _kept(info, task, size, None)  # the oldest kept come behind it
    presented = [await present_event(info, event) for event in events]
    return [event for event in presented if event]


async def _kept(info: Info, task: Record, size: int, after: Cursor | None) -> list[Event]:
    look = size if task.id == task.root else _STEP_LOOK
    found: list[Event] = []
    while True:
        info.context.take(look / _LOOKED_AT)
        page = await info.context.engine.store.history(task, after, look)
        found += page.events
        if page.more_after is None or len(found) >= size:
            return found[:size]
        after = page.more_after

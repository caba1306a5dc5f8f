"""The subscriptions: what changes, as it changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated

import strawberry

from graphql_api import described
from graphql_api.context import Info
from graphql_api.errors import ApiError, not_found
from graphql_api.types import Task
from graphql_api.values import EventCursor
from graphql_api.workflow import Workflow
from tasks.engine.records import Cursor, Event, EventKind, Record, position

described.enum(
    EventKind,
    {
        "SNAPSHOT": "Replaces whatever you held.",
        "STATE": "The task has another state.",
        "PROGRESS": "The task has told how far it is.",
    },
    name="TaskEventKind",
)


@described.type
class TaskEvent:
    """One change.

    Of `task`, and of the `workflow` it belongs to (null on a workflow's own events), state, counts,
    progress, times and version are as of this event; links (`steps`, `output`) and results are read
    now.
    """

    cursor: EventCursor = strawberry.field(description="Resume after this.")
    at: datetime = strawberry.field(description="When it happened.")
    kind: EventKind = strawberry.field(description="What it tells.")
    task: Task = strawberry.field(description="The task that changed.")
    workflow: Workflow | None = strawberry.field(description="The workflow it is a step of.")


class _Presenter:
    """Turns the events of one subscription into GraphQL; what never changes is read once."""

    def __init__(self, info: Info) -> None:
        self._info = info
        self._records: dict[str, Record] = {}

    async def event(self, event: Event) -> TaskEvent | None:
        record = await self._record(event.id)
        if record is None:
            return None
        present = self._info.context.present
        root = await self._record(record.root) if event.workflow else None
        return TaskEvent(
            cursor=EventCursor(event.cursor),
            at=event.at,
            kind=event.kind,
            task=present(record.as_of(event), event.workflow),
            workflow=present(root, event.workflow) if root else None,
        )

    async def snapshot(self, record: Record) -> TaskEvent:
        present = self._info.context.present
        root = await self._record(record.root) if record.root != record.id else None
        return TaskEvent(
            cursor=EventCursor(record.cursor),
            at=record.finished_at or record.started_at or record.created_at,
            kind=EventKind.SNAPSHOT,
            task=present(record),
            workflow=present(root) if root else None,
        )

    async def _record(self, task_id: str) -> Record | None:
        if task_id not in self._records:
            record = await self._info.context.engine.feed.store.get(task_id)
            if record is None:
                return None
            self._records[task_id] = record
        return self._records[task_id]


@described.type
class Subscription:
    """What can be watched."""

    @described.subscription
    async def task(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Id of a task.")],
        after: Annotated[
            EventCursor | None,
            strawberry.argument(description="Resume behind this event; no snapshot then."),
        ] = None,
    ) -> AsyncGenerator[TaskEvent, None]:
        """One task, or a workflow with all its steps.

        A snapshot first (or what came after `after`), then every event in order; completes after
        the root's own final one. Unknown id: an error with code NOT_FOUND. A finished task: one
        snapshot; `after` its last event: completes at once.
        """
        # Not a generator itself: what is wrong here ends the operation before the stream begins.
        record = await info.context.engine.store.get(id)
        if record is None:
            raise not_found(f"Task {id!r}")
        return _events(info, record, _cursor(after))


async def _events(
    info: Info, record: Record, after: Cursor | None
) -> AsyncGenerator[TaskEvent, None]:
    presenter = _Presenter(info)
    try:
        async with aclosing(info.context.engine.feed.watch(record, after)) as changes:
            async for happened in changes:
                if isinstance(happened, Record):
                    yield await presenter.snapshot(happened)
                elif event := await presenter.event(happened):
                    yield event
    except ValueError as error:
        raise ApiError(f"{after!r} is the cursor of no event yet", "BAD_USER_INPUT") from error


def _cursor(after: EventCursor | None) -> Cursor | None:
    if after is None:
        return None
    try:
        position(Cursor(after))
    except ValueError as error:
        raise ApiError(f"{after!r} is no event cursor", "BAD_USER_INPUT") from error
    return Cursor(after)

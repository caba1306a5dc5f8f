"""Tasks, workflows and their events: what every task has, whatever its definition."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry.types import get_object_definition

from celeryql.errors import CursorExpired, UnknownCursor
from celeryql.records import Cursor, Event, EventKind, Record, WorkflowSummary
from celeryql.state.graph import Graph
from celeryql.watching.event_stream import Snapshot
from graphql_api.api_errors import ApiError, ErrorCode, not_found
from graphql_api.auth.viewer import Scope
from graphql_api.execution.context import Info
from graphql_api.execution.stored_values import StoredField
from graphql_api.types import decorators
from graphql_api.types.cluster import Queue, TaskDefinition
from graphql_api.types.enums import Priority, TaskState
from graphql_api.types.node import Node
from graphql_api.types.scalars import EventCursor

_HISTORY_DEFAULT = 20
_HISTORY_MAX = 100
_STEP_EVENTS_READ = 500  # events of a workflow, read at once to find those of one step
_EVENTS_READ_PER_ITEM = 10  # reading 10 events takes as long as one item of an answer
_EVENTS_SHOWN_PER_ITEM = 2  # and so does making objects of 2

_TRACEBACK = StoredField("any task", "traceback", str)

decorators.enum(
    EventKind,
    {
        "SNAPSHOT": "The current state, which replaces what the client knew about the task.",
        "STATE": "The task changed its state.",
        "PROGRESS": "The task reported progress.",
        "GAP": "Some events after `after` are no longer stored. A snapshot follows.",
    },
    name="TaskEventKind",
)


@decorators.type
class Progress:
    """The progress of a task in its own unit; for a workflow, the number of steps that ended."""

    current: float = strawberry.field(description="The amount of work that is done.")
    total: float | None = strawberry.field(
        description="The total amount of work, or null if it is unknown."
    )
    message: str | None = strawberry.field(
        description="A human-readable message about the current work."
    )

    @decorators.field
    def fraction(self) -> float | None:
        """The done part of the total, from 0 to 1, or null if the total is unknown."""
        return min(max(self.current / self.total, 0.0), 1.0) if self.total else None


@decorators.type
class Failure:
    """Why a task has no result."""

    type: str = strawberry.field(description="The class name of the exception.")
    message: str = strawberry.field(description="The message of the exception.")
    retryable: bool = strawberry.field(
        description="Whether another attempt is due, or could succeed."
    )
    caused_by: str | None = strawberry.field(
        description="For a skipped step, the key of the step that failed or was canceled."
    )
    task_id: strawberry.Private[str]

    @decorators.field
    async def traceback(self, info: Info) -> str | None:
        """The Python traceback, or null if there is none or the server hides tracebacks."""
        if not info.context.engine.settings.tracebacks:
            return None
        document = await info.context.result_metas.load(self.task_id)
        if document is None:
            return None
        text: str | None = await _TRACEBACK.read(info.context, document, "traceback")
        return text


@decorators.interface
class Task(Node):
    """One execution of a task definition, or of a whole workflow. Its id is the Celery task id."""

    record: strawberry.Private[Record]
    summary: strawberry.Private[WorkflowSummary | None] = None

    @classmethod
    def resolve_type(cls, task: Task, *_: object) -> str:
        """Name the type of a task; Strawberry would try all types that it can be cast to first."""
        return get_object_definition(task, strict=True).name

    @decorators.field
    def definition(self, info: Info) -> TaskDefinition | None:
        """The task definition, or null for a workflow."""
        found = info.context.engine.definitions.get(self.record.definition or "")
        return TaskDefinition.of(found) if found else None

    @decorators.field
    def state(self) -> TaskState:
        """The state of the task."""
        return self.record.state

    @decorators.field
    def celery_state(self) -> str:
        """The state string that Celery uses, including custom states."""
        return self.record.celery_state

    @decorators.field
    def is_final(self) -> bool:
        """Whether the state is final. A final state never changes."""
        return self.record.state.is_final

    @decorators.field
    def version(self) -> int:
        """A number that increases with every change.

        If responses arrive out of order, keep the one with the highest version.
        """
        return self.record.version

    @decorators.field
    def cursor(self) -> EventCursor:
        """The position of the task in the stream of events.

        Subscribe to `task` with this as `after` to miss no event after a query.
        """
        return EventCursor(self.record.cursor)

    @decorators.field
    def progress(self) -> Progress | None:
        """The progress that the task reported last, or null if it reported none."""
        reported = self.record.progress
        if reported is None:
            return None
        return Progress(current=reported.current, total=reported.total, message=reported.message)

    @decorators.field(scopes=(Scope.READ,))
    def failure(self) -> Failure | None:
        """Why the task failed or is retried."""
        failure = self.record.failure
        if failure is None:
            return None
        return Failure(
            type=failure.type,
            message=failure.message,
            retryable=failure.retryable,
            caused_by=failure.caused_by,
            task_id=self.record.id,
        )

    @decorators.field
    def queue(self) -> Queue | None:
        """The queue that the task was sent to, or null for a workflow."""
        return Queue.named(self.record.queue) if self.record.queue else None

    @decorators.field
    def worker(self) -> str | None:
        """The name of the worker that runs the task, or ran it last."""
        return self.record.worker

    @decorators.field
    def attempt(self) -> int:
        """The number of times that the task was started."""
        return self.record.attempt

    @decorators.field
    def max_attempts(self) -> int:
        """The maximum number of attempts. It is 1 for a workflow."""
        return self.record.max_attempts or 1

    @decorators.field
    def priority(self) -> Priority:
        """The priority of the task among those that wait in its queue."""
        return self.record.priority

    @decorators.field
    def tags(self) -> list[str]:
        """The tags that the caller set."""
        return list(self.record.tags)

    @decorators.field
    def created_at(self) -> datetime:
        """When the task was accepted."""
        return self.record.created_at

    @decorators.field
    def scheduled_for(self) -> datetime | None:
        """The earliest time at which the task may start, or null for no delay."""
        return self.record.scheduled_for

    @decorators.field
    def started_at(self) -> datetime | None:
        """When the first attempt started."""
        return self.record.started_at

    @decorators.field
    def finished_at(self) -> datetime | None:
        """When the task reached its final state."""
        return self.record.finished_at

    @decorators.field
    def expires_at(self) -> datetime | None:
        """When the task expires if it has not started, or null if it never expires."""
        return self.record.expires_at

    @decorators.field
    async def workflow(self, info: Info) -> Workflow | None:
        """The workflow that the task is a step of."""
        if self.record.root == self.record.id:
            return None
        root = await info.context.records.load(self.record.root)
        workflow: Workflow | None = info.context.to_graphql(root, self.summary) if root else None
        return workflow

    @decorators.field
    def step_key(self) -> str | None:
        """The key of the task in that workflow."""
        return self.record.key

    @decorators.field(scopes=(Scope.READ,))
    async def retry_of(self, info: Info) -> Task | None:
        """The task that this one retries, or null if there is none or it has expired."""
        if self.record.retry_of is None:
            return None
        record = await info.context.records.load(self.record.retry_of)
        task: Task | None = info.context.to_graphql(record) if record else None
        return task

    @decorators.field(scopes=(Scope.READ,))
    async def history(
        self,
        info: Info,
        first: Annotated[
            int | None,
            strawberry.argument(description="The number of events: 1 to 100, by default 20."),
        ] = None,
        after: Annotated[
            EventCursor | None, strawberry.argument(description="Return events after this one.")
        ] = None,
    ) -> list[TaskEvent] | None:
        """The stored events of the task and, for a workflow, of its steps, oldest first.

        Null only if an error is reported.
        """
        return await _read_history(info, self.record, first, after)


@decorators.type
class UndefinedTask(Task):
    """A task whose definition this API does not know, such as one of another release or app."""


@decorators.type
class StateCounts:
    """The number of steps of a workflow in each state."""

    total: int = strawberry.field(description="All steps.")
    scheduled: int = strawberry.field(
        default=0, description="Steps with a start time in the future."
    )
    waiting: int = strawberry.field(default=0, description="Steps that wait for earlier steps.")
    queued: int = strawberry.field(default=0, description="Steps that are in the broker.")
    running: int = strawberry.field(default=0, description="Steps that a worker is running.")
    retrying: int = strawberry.field(default=0, description="Steps with another attempt due.")
    succeeded: int = strawberry.field(default=0, description="Steps with a result.")
    failed: int = strawberry.field(default=0, description="Steps that failed.")
    canceled: int = strawberry.field(default=0, description="Steps that were canceled.")
    skipped: int = strawberry.field(default=0, description="Steps that never ran.")
    expired: int = strawberry.field(default=0, description="Steps that did not start in time.")

    @classmethod
    def of(cls, counts: dict[str, int]) -> StateCounts:
        """Convert counts by state; `total` includes states that a later release may add."""
        known = ("total", *TaskState)
        return cls(**{state.lower(): n for state, n in counts.items() if state in known})


@decorators.type
class Step:
    """One step of a workflow."""

    key: str = strawberry.field(
        description="The key that the caller gave, unique in the workflow, or else the position "
        "of the step in the canvas, such as `0.1`."
    )
    task: Task = strawberry.field(description="The task that runs the step.")
    depends_on: list[str] = strawberry.field(
        description="The keys of the steps that this step waits for."
    )


@decorators.type
class Workflow(Task):
    """A chain, group or chord of tasks that is started as one. A workflow is itself a task."""

    @decorators.field
    async def name(self, info: Info) -> str | None:
        """The name that the caller gave the workflow."""
        return (await self._graph(info)).name

    @decorators.field
    async def steps(self, info: Info) -> list[Step] | None:
        """The steps in their current state, in the order of the canvas.

        Null only if an error is reported.
        """
        graph = await self._graph(info)
        records = await info.context.records.load_many([step.id for step in graph.steps])
        keys = {step.id: step.key for step in graph.steps}
        return [
            Step(
                key=step.key,
                task=info.context.to_graphql(record),
                depends_on=[keys[source] for source in graph.sources(step)],
            )
            for step, record in zip(graph.steps, records, strict=True)
            if record
        ]

    @decorators.field
    async def counts(self, info: Info) -> StateCounts | None:
        """The number of steps in each state. Null only if an error is reported."""
        return StateCounts.of(await self._counts(info))

    @decorators.field
    async def progress(self, info: Info) -> Progress | None:
        """The number of steps that have ended, and the number of all steps."""
        counts = await self._counts(info)
        ended = sum(counts.get(state, 0) for state in TaskState if state.is_final)
        return Progress(current=ended, total=counts["total"], message=None)

    @decorators.field
    async def output(self, info: Info) -> list[Task] | None:
        """The tasks whose results are the result of the workflow.

        These are the last step of a chain, the body of a chord, or several tasks for a group. Null
        only if an error is reported.
        """
        records = await info.context.records.load_many((await self._graph(info)).output())
        return [info.context.to_graphql(record) for record in records if record]

    async def _counts(self, info: Info) -> dict[str, int]:
        return self.summary.counts if self.summary else (await self._graph(info)).counts

    async def _graph(self, info: Info) -> Graph:
        graph = await info.context.graphs.load(self.record.id)
        if graph is None:
            raise not_found("This workflow")
        return graph


@decorators.type
class TaskEvent:
    """One change of a task.

    `task` and `workflow` show state, counts, progress, times and version as of this event. Links to
    other tasks (`steps`, `output`) and results are read when the event is sent.
    """

    cursor: EventCursor = strawberry.field(
        description="Pass this as `after` to resume after this event."
    )
    at: datetime = strawberry.field(description="When the change happened.")
    kind: EventKind = strawberry.field(description="The kind of change.")
    task: Task = strawberry.field(description="The task that changed.")
    workflow: Workflow | None = strawberry.field(
        description="The workflow that the task is a step of, or null for the workflow itself."
    )


async def present_event(info: Info, event: Event) -> TaskEvent | None:
    """Convert an event; None if its task has expired or the viewer may not see it."""
    known, to_graphql = info.context.cached_record, info.context.to_graphql
    record = await known(event.id)
    if record is None:
        return None
    root = await known(record.root) if event.workflow else None
    return TaskEvent(
        cursor=EventCursor(event.cursor),
        at=event.at,
        kind=event.kind,
        task=to_graphql(record.as_of(event), event.workflow),
        workflow=to_graphql(root, event.workflow) if root else None,
    )


async def present_snapshot(info: Info, snapshot: Snapshot) -> TaskEvent:
    """Convert a task in its current state as an event."""
    record, to_graphql = snapshot.record, info.context.to_graphql
    is_step = record.root != record.id
    root = await info.context.records.load(record.root) if is_step else None
    return TaskEvent(
        cursor=EventCursor(snapshot.cursor),
        at=record.finished_at or record.started_at or record.created_at,
        kind=snapshot.kind,
        task=to_graphql(record),
        workflow=to_graphql(root) if root else None,
    )


async def checked_cursor(info: Info, after: EventCursor | None) -> Cursor | None:
    """Check the cursor of a client.

    Raises:
        ApiError: no event has this cursor yet.
    """
    if after is None:
        return None
    try:
        await info.context.engine.event_stream.check_cursor(Cursor(after))
    except UnknownCursor as error:
        raise ApiError(str(error), ErrorCode.BAD_USER_INPUT) from error
    return Cursor(after)


async def _read_history(
    info: Info, task: Record, first: int | None, after: EventCursor | None
) -> list[TaskEvent]:
    """Read a page of a task's events, oldest first.

    Raises:
        ApiError: `first` is out of range, no event has the cursor yet, or the answer is too large.
    """
    size = _HISTORY_DEFAULT if first is None else first
    if not 1 <= size <= _HISTORY_MAX:
        text = f"A page has 1 to {_HISTORY_MAX} events, not {size}"
        raise ApiError(text, ErrorCode.BAD_USER_INPUT)
    # Counted before any read, so that many histories are refused before the first is read.
    info.context.reserve_items(size / _EVENTS_SHOWN_PER_ITEM)
    cursor = await checked_cursor(info, after)
    try:
        events = await _stored_events(info, task, size, cursor)
    except CursorExpired:
        events = await _stored_events(info, task, size, None)  # from the oldest stored event on
    presented = [await present_event(info, event) for event in events]
    return [event for event in presented if event]


async def _stored_events(info: Info, task: Record, size: int, after: Cursor | None) -> list[Event]:
    count = size if task.id == task.root else _STEP_EVENTS_READ
    found: list[Event] = []
    while True:
        info.context.reserve_items(count / _EVENTS_READ_PER_ITEM)
        page = await info.context.engine.store.read_history(task, after, count)
        found += page.events
        if page.more_after is None or len(found) >= size:
            return found[:size]
        after = page.more_after

"""What every task has, whatever its definition."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry.types import get_object_definition

from celeryql.records import Record, WorkflowSummary
from graphql_api.auth.viewer import Scope
from graphql_api.context import Info
from graphql_api.types import decorators
from graphql_api.types.cluster import Queue
from graphql_api.types.definitions import TaskDefinition
from graphql_api.types.events import TaskEvent, read_history
from graphql_api.types.scalars import (
    EventCursor,
    Failure,
    Node,
    Priority,
    Progress,
    TaskRef,
    TaskState,
    WorkflowRef,
)


@decorators.interface
class Task(Node):
    """One execution of a task, or of a whole workflow; its id is the Celery task id."""

    record: strawberry.Private[Record]
    summary: strawberry.Private[WorkflowSummary | None] = None

    @classmethod
    def resolve_type(cls, task: Task, *_: object) -> str:
        """Name the type of a task; Strawberry would look at all that it could be cast to first."""
        return get_object_definition(task, strict=True).name

    @decorators.field
    def definition(self, info: Info) -> TaskDefinition | None:
        """The task function; null for a workflow."""
        found = info.context.engine.definitions.get(self.record.definition or "")
        return TaskDefinition.of(found) if found else None

    @decorators.field
    def state(self) -> TaskState:
        """Where it is."""
        return self.record.state

    @decorators.field
    def celery_state(self) -> str:
        """Celery's own state string, custom states included."""
        return self.record.celery_state

    @decorators.field
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return self.record.state.is_final

    @decorators.field
    def version(self) -> int:
        """Rises with every change: keep the highest you have seen."""
        return self.record.version

    @decorators.field
    def cursor(self) -> EventCursor:
        """Subscribe to `task` `after` this to go from query to stream with no gap."""
        return EventCursor(self.record.cursor)

    @decorators.field
    def progress(self) -> Progress | None:
        """How far it is, where it has told."""
        told = self.record.progress
        if told is None:
            return None
        return Progress(current=told.current, total=told.total, message=told.message)

    @decorators.field(scopes=(Scope.READ,))
    def failure(self) -> Failure | None:
        """Why it failed or is tried again."""
        told = self.record.failure
        if told is None:
            return None
        return Failure(
            type=told.type,
            message=told.message,
            retryable=told.retryable,
            caused_by=told.caused_by,
            task_id=self.record.id,
        )

    @decorators.field
    def queue(self) -> Queue | None:
        """The queue it was sent to; null for a workflow."""
        return Queue.named(self.record.queue) if self.record.queue else None

    @decorators.field
    def worker(self) -> str | None:
        """Name of the worker that ran or runs it."""
        return self.record.worker

    @decorators.field
    def attempt(self) -> int:
        """How often it was started."""
        return self.record.attempt

    @decorators.field
    def max_attempts(self) -> int:
        """How often it is run at most; 1 for a workflow."""
        return self.record.max_attempts or 1

    @decorators.field
    def priority(self) -> Priority:
        """Which waiting task is taken first."""
        return self.record.priority

    @decorators.field
    def tags(self) -> list[str]:
        """What the caller named it by."""
        return list(self.record.tags)

    @decorators.field
    def created_at(self) -> datetime:
        """When it was accepted."""
        return self.record.created_at

    @decorators.field
    def scheduled_for(self) -> datetime | None:
        """When it may start at the earliest; null for at once."""
        return self.record.scheduled_for

    @decorators.field
    def started_at(self) -> datetime | None:
        """When it was first started."""
        return self.record.started_at

    @decorators.field
    def finished_at(self) -> datetime | None:
        """When it reached its final state."""
        return self.record.finished_at

    @decorators.field
    def expires_at(self) -> datetime | None:
        """When it is dropped, if it has not started; null for never."""
        return self.record.expires_at

    @decorators.field
    async def workflow(self, info: Info) -> WorkflowRef | None:
        """The workflow it is a step of."""
        if self.record.root == self.record.id:
            return None
        root = await info.context.records.load(self.record.root)
        return info.context.present(root, self.summary) if root else None

    @decorators.field
    def step_key(self) -> str | None:
        """Its key in that workflow."""
        return self.record.key

    @decorators.field(scopes=(Scope.READ,))
    async def retry_of(self, info: Info) -> TaskRef | None:
        """The task that it is another run of; null, too, where that has passed retention."""
        if self.record.retry_of is None:
            return None
        record = await info.context.records.load(self.record.retry_of)
        return info.context.present(record) if record else None

    @decorators.field(scopes=(Scope.READ,))
    async def history(
        self,
        info: Info,
        first: Annotated[
            int | None, strawberry.argument(description="How many: 20 by default, 100 at most.")
        ] = None,
        after: Annotated[
            EventCursor | None, strawberry.argument(description="Behind this event.")
        ] = None,
    ) -> list[TaskEvent] | None:
        """Every event kept for this task (of a workflow, its steps' too), oldest first.

        Null only with an error.
        """
        return await read_history(info, self.record, first, after)


@decorators.type
class UndefinedTask(Task):
    """A task whose definition this API does not know: of another release, or another app."""

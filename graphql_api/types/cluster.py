"""Queues, workers and task definitions, as they are now or as they were at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry

from celeryql.definition import task_definition as engine
from celeryql.watching.cluster_poller import ClusterSnapshot
from celeryql.watching.queues_and_workers import QueueStatus, WorkerStatus
from graphql_api.auth.viewer import Scope
from graphql_api.execution.context import Info
from graphql_api.types import decorators
from graphql_api.types.node import Node

# `task.py` imports this module, so this one names `Task` without an import.
TaskRef = Annotated["Task", strawberry.lazy("graphql_api.types.task")]  # type: ignore[name-defined]  # noqa: F821  # resolved by Strawberry


async def workers_at(info: Info, moment: ClusterSnapshot | None) -> Sequence[WorkerStatus]:
    """Return the workers of a moment, or the current workers if no moment is given."""
    return moment.workers if moment else await info.context.workers.load("all")


@decorators.type
class Queue(Node):
    """A Celery queue. Its id has the form `queue:celery`."""

    queue_name: strawberry.Private[str]
    moment: strawberry.Private[ClusterSnapshot | None] = None

    @decorators.field
    def name(self) -> str:
        """The name of the queue in Celery's configuration."""
        return self.queue_name

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def depth(self, info: Info) -> int:
        """The number of messages that wait in the broker."""
        return (await self._status(info)).depth

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def unacked(self, info: Info) -> int:
        """The number of messages that workers hold and have not acknowledged."""
        return (await self._status(info)).unacked

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def oldest_waiting_seconds(self, info: Info) -> float | None:
        """How long the oldest message next in line has waited, in seconds.

        Null if the queue is empty.
        """
        return (await self._status(info)).oldest_waiting_s

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def workers(self, info: Info) -> list[Worker]:
        """The workers that consume from the queue, including those that are offline."""
        found = await workers_at(info, self.moment)
        return [Worker.of(w, self.moment) for w in found if self.queue_name in w.queues]

    @decorators.field
    def definitions(self, info: Info) -> list[TaskDefinition]:
        """The task definitions that are routed to the queue."""
        known = info.context.engine.definitions.values()
        return [TaskDefinition.of(d, self.moment) for d in known if d.queue == self.queue_name]

    async def _status(self, info: Info) -> QueueStatus:
        queues = self.moment.queues if self.moment else ()
        seen = next((status for status in queues if status.name == self.queue_name), None)
        return seen or await info.context.queues.load(self.queue_name)

    @classmethod
    def named(cls, name: str, moment: ClusterSnapshot | None = None) -> Queue:
        """Convert a queue; without a moment, its status is read only if a field needs it."""
        return cls(id=strawberry.ID(f"queue:{name}"), queue_name=name, moment=moment)


@decorators.type
class Worker(Node):
    """A Celery worker as of its last heartbeat. Its id has the form `worker:name`."""

    status: strawberry.Private[WorkerStatus]
    moment: strawberry.Private[ClusterSnapshot | None] = None

    @decorators.field
    def name(self) -> str:
        """The Celery node name of the worker."""
        return self.status.name

    @decorators.field
    def online(self) -> bool:
        """Whether the worker sent a heartbeat in the last ten seconds."""
        return self.status.online

    @decorators.field
    def last_seen_at(self) -> datetime:
        """When the worker sent its last heartbeat."""
        return self.status.seen_at

    @decorators.field
    def pool(self) -> str:
        """Celery's name for the pool of the worker, such as `prefork` or `solo`."""
        return self.status.pool

    @decorators.field
    def concurrency(self) -> int:
        """The number of tasks that the worker can run at the same time."""
        return self.status.concurrency

    @decorators.field
    def queues(self) -> list[Queue]:
        """The queues that the worker consumes from."""
        return [Queue.named(name, self.moment) for name in self.status.queues]

    @decorators.field(scopes=(Scope.READ,))
    async def active(self, info: Info) -> list[TaskRef]:
        """The tasks that the worker was running at its last heartbeat."""
        records = await info.context.records.load_many(list(self.status.active))
        return [info.context.to_graphql(record) for record in records if record]

    @decorators.field
    def processed(self) -> int:
        """The number of tasks that the worker has accepted since it started."""
        return self.status.processed

    @decorators.field
    def rss_bytes(self) -> float:
        """The resident memory of the worker and its pool processes, in bytes."""
        return self.status.rss_bytes

    @classmethod
    def of(cls, status: WorkerStatus, moment: ClusterSnapshot | None = None) -> Worker:
        """Convert a worker."""
        return cls(id=strawberry.ID(f"worker:{status.name}"), status=status, moment=moment)


@decorators.type
class TaskDefinition(Node):
    """A typed Celery task function. Its id has the form `definition:add`."""

    definition: strawberry.Private[engine.TaskDefinition]
    moment: strawberry.Private[ClusterSnapshot | None] = None

    @decorators.field
    def name(self) -> str:
        """The name of the function."""
        return self.definition.name

    @decorators.field
    def description(self) -> str:
        """The docstring of the function."""
        return self.definition.description

    @decorators.field
    def queue(self) -> Queue:
        """The queue that tasks of this definition are sent to."""
        return Queue.named(self.definition.queue, self.moment)

    @decorators.field
    def field(self) -> str:
        """The name of the mutation that enqueues a task of this definition."""
        return self.definition.mutation_name

    @decorators.field
    def acks_late(self) -> bool:
        """Whether a message is acknowledged after the task has ended, not when it starts."""
        return bool(self.definition.task.acks_late)

    @decorators.field
    def max_attempts(self) -> int:
        """The maximum number of attempts, unless the caller sets another one."""
        return self.definition.max_attempts

    @decorators.field
    def time_limit_seconds(self) -> int | None:
        """The number of seconds after which a run is stopped, or null for no limit."""
        limit: int | None = self.definition.task.time_limit
        return limit

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def unserved(self, info: Info) -> bool:
        """Whether no online worker consumes from this definition's queue."""
        workers = await workers_at(info, self.moment)
        return not any(w.online and self.definition.queue in w.queues for w in workers)

    @classmethod
    def of(
        cls, definition: engine.TaskDefinition, moment: ClusterSnapshot | None = None
    ) -> TaskDefinition:
        """Convert a definition."""
        id_ = strawberry.ID(f"definition:{definition.name}")
        return cls(id=id_, definition=definition, moment=moment)


@decorators.type
class Cluster:
    """All queues and workers at one moment."""

    at: datetime = strawberry.field(description="When the queues and workers were read.")
    queues: list[Queue] = strawberry.field(description="All queues.")
    workers: list[Worker] = strawberry.field(
        description="All workers that sent a heartbeat within the last hour."
    )

    @classmethod
    def of(cls, moment: ClusterSnapshot) -> Cluster:
        """Convert a moment; nothing more needs to be read."""
        return cls(
            at=moment.at,
            queues=[Queue.named(status.name, moment) for status in moment.queues],
            workers=[Worker.of(status, moment) for status in moment.workers],
        )

"""What runs the tasks: queues and workers, as they are now or were at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from celeryql.watching.cluster_poller import ClusterSnapshot
from celeryql.watching.queues_and_workers import QueueStatus, WorkerStatus
from graphql_api.auth.viewer import Scope
from graphql_api.context import Info
from graphql_api.types import decorators
from graphql_api.types.scalars import Node, TaskRef

if TYPE_CHECKING:
    from graphql_api.types.definitions import TaskDefinition

WorkerRef = Annotated["Worker", strawberry.lazy("graphql_api.types.cluster")]
DefinitionRef = Annotated["TaskDefinition", strawberry.lazy("graphql_api.types.definitions")]


async def workers_at(info: Info, moment: ClusterSnapshot | None) -> Sequence[WorkerStatus]:
    """Give the workers of a moment; without one, those that there are now."""
    return moment.workers if moment else await info.context.workers.load("all")


@decorators.type
class Queue(Node):
    """One Celery queue; its id is as `queue:celery`."""

    queue_name: strawberry.Private[str]
    moment: strawberry.Private[ClusterSnapshot | None] = None

    @decorators.field
    def name(self) -> str:
        """Its name in Celery's configuration."""
        return self.queue_name

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def depth(self, info: Info) -> int:
        """Messages waiting in the broker."""
        return (await self._status(info)).depth

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def unacked(self, info: Info) -> int:
        """Messages held by workers, not acknowledged."""
        return (await self._status(info)).unacked

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def oldest_waiting_seconds(self, info: Info) -> float | None:
        """Age of the oldest task that is next in line; null where none waits."""
        return (await self._status(info)).oldest_waiting_s

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def workers(self, info: Info) -> list[WorkerRef]:
        """Workers that consume from it, those offline included."""
        found = await workers_at(info, self.moment)
        return [Worker.of(w, self.moment) for w in found if self.queue_name in w.queues]

    @decorators.field
    def definitions(self, info: Info) -> list[DefinitionRef]:
        """Tasks that are routed to it."""
        # Here, because that module names this one.
        from graphql_api.types.definitions import TaskDefinition  # noqa: PLC0415

        known = info.context.engine.definitions.values()
        return [TaskDefinition.of(d, self.moment) for d in known if d.queue == self.queue_name]

    async def _status(self, info: Info) -> QueueStatus:
        queues = self.moment.queues if self.moment else ()
        seen = next((status for status in queues if status.name == self.queue_name), None)
        return seen or await info.context.queues.load(self.queue_name)

    @classmethod
    def named(cls, name: str, moment: ClusterSnapshot | None = None) -> Queue:
        """Present a queue; without a moment, what it holds is read only when asked for."""
        return cls(id=strawberry.ID(f"queue:{name}"), queue_name=name, moment=moment)


@decorators.type
class Worker(Node):
    """One Celery worker process, as its last heartbeat tells; its id is as `worker:name`."""

    status: strawberry.Private[WorkerStatus]
    moment: strawberry.Private[ClusterSnapshot | None] = None

    @decorators.field
    def name(self) -> str:
        """Its Celery node name."""
        return self.status.name

    @decorators.field
    def online(self) -> bool:
        """Whether it has been heard of in the last ten seconds."""
        return self.status.online

    @decorators.field
    def last_seen_at(self) -> datetime:
        """Time of its last heartbeat."""
        return self.status.seen_at

    @decorators.field
    def pool(self) -> str:
        """Celery's name of its pool, as `prefork` or `solo`."""
        return self.status.pool

    @decorators.field
    def concurrency(self) -> int:
        """How many tasks it runs at once."""
        return self.status.concurrency

    @decorators.field
    def queues(self) -> list[Queue]:
        """Where it takes its messages from."""
        return [Queue.named(name, self.moment) for name in self.status.queues]

    @decorators.field(scopes=(Scope.READ,))
    async def active(self, info: Info) -> list[TaskRef]:
        """What it was running at its last heartbeat."""
        records = await info.context.records.load_many(list(self.status.active))
        return [info.context.present(record) for record in records if record]

    @decorators.field
    def processed(self) -> int:
        """How many tasks it has taken since it started."""
        return self.status.processed

    @decorators.field
    def rss_bytes(self) -> float:
        """Resident memory of it and its pool, in bytes."""
        return self.status.rss_bytes

    @classmethod
    def of(cls, status: WorkerStatus, moment: ClusterSnapshot | None = None) -> Worker:
        """Present a worker."""
        return cls(id=strawberry.ID(f"worker:{status.name}"), status=status, moment=moment)


@decorators.type
class Cluster:
    """All queues and workers at one moment."""

    at: datetime = strawberry.field(description="When they were looked at.")
    queues: list[Queue] = strawberry.field(description="Every queue.")
    workers: list[Worker] = strawberry.field(description="Every worker seen within the last hour.")

    @classmethod
    def of(cls, moment: ClusterSnapshot) -> Cluster:
        """Present a moment; nothing more needs to be read."""
        return cls(
            at=moment.at,
            queues=[Queue.named(status.name, moment) for status in moment.queues],
            workers=[Worker.of(status, moment) for status in moment.workers],
        )

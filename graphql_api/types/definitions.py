"""What can be enqueued: the task functions, as clients see them."""

from __future__ import annotations

import strawberry

from celeryql.definition import task_definition as engine
from celeryql.watching.cluster_poller import ClusterSnapshot
from graphql_api.auth.viewer import Scope
from graphql_api.context import Info
from graphql_api.types import decorators
from graphql_api.types.cluster import Queue, workers_at
from graphql_api.types.scalars import Node


@decorators.type
class TaskDefinition(Node):
    """A typed Celery task function; its id is as `definition:add`."""

    definition: strawberry.Private[engine.TaskDefinition]
    moment: strawberry.Private[ClusterSnapshot | None] = None

    @decorators.field
    def name(self) -> str:
        """The function's name."""
        return self.definition.name

    @decorators.field
    def description(self) -> str:
        """Its docstring."""
        return self.definition.description

    @decorators.field
    def queue(self) -> Queue:
        """Where its messages go."""
        return Queue.named(self.definition.queue, self.moment)

    @decorators.field
    def field(self) -> str:
        """Its mutation."""
        return self.definition.mutation

    @decorators.field
    def acks_late(self) -> bool:
        """Whether its message is kept until it has ended."""
        return bool(self.definition.task.acks_late)

    @decorators.field
    def max_attempts(self) -> int:
        """How often it is run at most, unless its caller says otherwise."""
        return self.definition.max_attempts

    @decorators.field
    def time_limit_seconds(self) -> int | None:
        """After how long it is stopped; null for never."""
        limit: int | None = self.definition.task.time_limit
        return limit

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def unserved(self, info: Info) -> bool:
        """No worker that can run it is online now."""
        workers = await workers_at(info, self.moment)
        return not any(w.online and self.definition.queue in w.queues for w in workers)

    @classmethod
    def of(
        cls, definition: engine.TaskDefinition, moment: ClusterSnapshot | None = None
    ) -> TaskDefinition:
        """Present a definition."""
        id_ = strawberry.ID(f"definition:{definition.name}")
        return cls(id=id_, definition=definition, moment=moment)

"""The queries: one task, lists of tasks, and what runs them."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graphql_api.auth.viewer import Scope
from graphql_api.context import Info
from graphql_api.resolvers.tokens import Viewer
from graphql_api.types import decorators
from graphql_api.types.cluster import Queue, TaskDefinition, Worker
from graphql_api.types.filters import FilterArgument, parse_filter
from graphql_api.types.node import IdArgument, Node
from graphql_api.types.pagination import PageArguments, TaskConnection, connect
from graphql_api.types.task import Task


@decorators.type
class Query:
    """What can be read at once."""

    @decorators.field
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Id of any node.")],
    ) -> Node | None:
        """Any node by its id; null if there is none.

        Needs CLUSTER for a queue or worker, READ for anything else.
        """
        kind, _, name = id.partition(":")
        needed = Scope.CLUSTER if kind in ("queue", "worker") else Scope.READ
        info.context.viewer.require(needed)
        if kind == "queue":
            return Queue.named(name) if name in info.context.engine.queues else None
        if kind == "definition":
            definition = info.context.engine.definitions.get(name)
            return TaskDefinition.of(definition) if definition else None
        if kind == "worker":
            found = await info.context.workers.load("all")
            return next((Worker.of(status) for status in found if status.name == name), None)
        record = await info.context.records.load(id)
        return info.context.present(record) if record else None

    @decorators.field(scopes=(Scope.READ,))
    async def task(self, info: Info, id: IdArgument) -> Task | None:
        """One task; null if it was never accepted, or has passed retention."""
        record = await info.context.records.load(id)
        return info.context.present(record) if record else None

    @decorators.field(scopes=(Scope.READ,))
    async def tasks(
        self,
        info: Info,
        filter: FilterArgument = None,
        first: Annotated[
            int | None,
            strawberry.argument(
                description="How many from the newest: 20 by default, 100 at most."
            ),
        ] = None,
        after: Annotated[
            str | None, strawberry.argument(description="Behind this page cursor.")
        ] = None,
        last: Annotated[
            int | None, strawberry.argument(description="How many from the oldest: 100 at most.")
        ] = None,
        before: Annotated[
            str | None, strawberry.argument(description="Ahead of this page cursor.")
        ] = None,
    ) -> TaskConnection:
        """Tasks and workflow steps, newest first."""
        wanted = parse_filter(filter, info.context.viewer)
        return await connect(info, wanted, PageArguments.of(first, after, last, before))

    @decorators.field(scopes=(Scope.READ,))
    def task_definitions(self, info: Info) -> list[TaskDefinition]:
        """Every task that can be enqueued, by name."""
        return [TaskDefinition.of(d) for d in info.context.engine.definitions.values()]

    @decorators.field(scopes=(Scope.CLUSTER,))
    def queues(self, info: Info) -> list[Queue]:
        """Every queue."""
        return [Queue.named(name) for name in info.context.engine.queues]

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def workers(self, info: Info) -> list[Worker]:
        """Every worker seen within the last hour."""
        return [Worker.of(status) for status in await info.context.workers.load("all")]

    @decorators.field
    def viewer(self, info: Info) -> Viewer:
        """Who asks, and what it may do."""
        return Viewer.of(info.context.viewer)

"""The root fields of queries: tasks, definitions, queues, workers and the caller."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graphql_api.execution.context import Info
from graphql_api.types import decorators
from graphql_api.types.cluster import Queue, TaskDefinition, Worker
from graphql_api.types.enums import Scope
from graphql_api.types.filters import FilterArgument, parse_filter
from graphql_api.types.node import IdArgument, Node
from graphql_api.types.pagination import PageArguments, TaskConnection, list_tasks
from graphql_api.types.task import Task


@strawberry.type(name="Viewer", description="The caller of an operation.")
class CurrentViewer:
    """The caller, as clients see it."""

    subject: str = strawberry.field(
        description="The owner of the tasks that the caller enqueues: `anonymous` without "
        "authentication."
    )
    scopes: list[Scope] = strawberry.field(description="The scopes that the caller has.")


@decorators.type
class Query:
    """Read tasks, task definitions, queues and workers."""

    @decorators.field
    async def node(
        self,
        info: Info,
        id: Annotated[
            strawberry.ID,
            strawberry.argument(
                description="The id of a task, workflow, definition, queue or worker."
            ),
        ],
    ) -> Node | None:
        """Find an object by its id. Null if there is none.

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
        return info.context.to_graphql(record) if record else None

    @decorators.field(scopes=(Scope.READ,))
    async def task(self, info: Info, id: IdArgument) -> Task | None:
        """Find a task or workflow. Null if it was never accepted or has expired."""
        record = await info.context.records.load(id)
        return info.context.to_graphql(record) if record else None

    @decorators.field(scopes=(Scope.READ,))
    async def tasks(
        self,
        info: Info,
        filter: FilterArgument = None,
        first: Annotated[
            int | None,
            strawberry.argument(
                description="The number of tasks from the newest on: 1 to 100, by default 20."
            ),
        ] = None,
        after: Annotated[
            str | None,
            strawberry.argument(description="Return tasks that are older than this page cursor."),
        ] = None,
        last: Annotated[
            int | None,
            strawberry.argument(
                description="The number of tasks from the oldest on: 1 to 100, by default 20."
            ),
        ] = None,
        before: Annotated[
            str | None,
            strawberry.argument(description="Return tasks that are newer than this page cursor."),
        ] = None,
    ) -> TaskConnection:
        """List tasks, workflows and workflow steps, newest first."""
        wanted = parse_filter(filter, info.context.viewer)
        return await list_tasks(info, wanted, PageArguments.of(first, after, last, before))

    @decorators.field(scopes=(Scope.READ,))
    def task_definitions(self, info: Info) -> list[TaskDefinition]:
        """List all task definitions, sorted by name."""
        return [TaskDefinition.of(d) for d in info.context.engine.definitions.values()]

    @decorators.field(scopes=(Scope.CLUSTER,))
    def queues(self, info: Info) -> list[Queue]:
        """List all queues."""
        return [Queue.named(name) for name in info.context.engine.queues]

    @decorators.field(scopes=(Scope.CLUSTER,))
    async def workers(self, info: Info) -> list[Worker]:
        """List all workers that sent a heartbeat within the last hour."""
        return [Worker.of(status) for status in await info.context.workers.load("all")]

    @decorators.field
    def viewer(self, info: Info) -> CurrentViewer:
        """The caller and its permissions."""
        viewer = info.context.viewer
        return CurrentViewer(subject=viewer.subject, scopes=viewer.granted_scopes)

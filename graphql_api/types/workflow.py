"""Workflows: a task that is made of tasks."""

from __future__ import annotations

import strawberry

from celeryql.state.graph import Graph
from graphql_api.api_errors import not_found
from graphql_api.context import Info
from graphql_api.types import decorators
from graphql_api.types.scalars import Progress, TaskState
from graphql_api.types.task import Task


@decorators.type
class StateCounts:
    """How many steps of a workflow are in which state."""

    total: int = strawberry.field(description="All steps.")
    scheduled: int = strawberry.field(default=0, description="Steps that start in the future.")
    waiting: int = strawberry.field(default=0, description="Steps that wait for earlier ones.")
    queued: int = strawberry.field(default=0, description="Steps in the broker.")
    running: int = strawberry.field(default=0, description="Steps that run.")
    retrying: int = strawberry.field(default=0, description="Steps that are tried again.")
    succeeded: int = strawberry.field(default=0, description="Steps with a result.")
    failed: int = strawberry.field(default=0, description="Steps that failed.")
    canceled: int = strawberry.field(default=0, description="Steps that were canceled.")
    skipped: int = strawberry.field(default=0, description="Steps that never ran.")
    expired: int = strawberry.field(default=0, description="Steps not started in time.")

    @classmethod
    def of(cls, counts: dict[str, int]) -> StateCounts:
        """Present counts by state; `total` also counts states of a later release."""
        known = ("total", *TaskState)
        return cls(**{state.lower(): n for state, n in counts.items() if state in known})


@decorators.type
class Step:
    """One node of a workflow's graph."""

    key: str = strawberry.field(
        description="Unique in its workflow; yours, or its path, as `0.1`, when you gave none."
    )
    task: Task = strawberry.field(description="Its execution.")
    depends_on: list[str] = strawberry.field(description="Keys of the steps it waits for.")


@decorators.type
class Workflow(Task):
    """A chain, group or chord of tasks, started as one; it is a task itself."""

    @decorators.field
    async def name(self, info: Info) -> str | None:
        """What its caller named it."""
        return (await self._graph(info)).name

    @decorators.field
    async def steps(self, info: Info) -> list[Step] | None:
        """Its tasks, as they are now, in the order of the canvas; null only with an error."""
        graph = await self._graph(info)
        records = await info.context.records.load_many([step.id for step in graph.steps])
        keys = {step.id: step.key for step in graph.steps}
        return [
            Step(
                key=step.key,
                task=info.context.present(record),
                depends_on=[keys[source] for source in graph.sources(step)],
            )
            for step, record in zip(graph.steps, records, strict=True)
            if record
        ]

    @decorators.field
    async def counts(self, info: Info) -> StateCounts | None:
        """How many steps are in which state; null only with an error."""
        return StateCounts.of(await self._counts(info))

    @decorators.field
    async def progress(self, info: Info) -> Progress | None:
        """Steps that have ended, of all."""
        counts = await self._counts(info)
        ended = sum(counts.get(state, 0) for state in TaskState if state.is_final)
        return Progress(current=ended, total=counts["total"], message=None)

    @decorators.field
    async def output(self, info: Info) -> list[Task] | None:
        """The task whose result is the workflow's; null only with an error.

        The last of a chain, the body of a chord; several for a group.
        """
        records = await info.context.records.load_many((await self._graph(info)).output())
        return [info.context.present(record) for record in records if record]

    async def _counts(self, info: Info) -> dict[str, int]:
        return self.summary.counts if self.summary else (await self._graph(info)).counts

    async def _graph(self, info: Info) -> Graph:
        graph = await info.context.graphs.load(self.record.id)
        if graph is None:
            raise not_found("This workflow")
        return graph

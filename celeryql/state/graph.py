"""A workflow's graph: its steps, and the joins that hand values from some to others."""

from __future__ import annotations

import json
from typing import Any

from celeryql.records import StoredModel, TaskId, TaskState


class Step(StoredModel):
    """One node of a workflow's graph.

    Attributes:
        after: number of the join that it waits for; None for a first step.
        open_parameter: where the join's value goes; None where the step takes none.
    """

    key: str
    id: TaskId
    after: int | None = None
    open_parameter: str | None = None


#: What a join hands over: the result of one task, or a list of such, nested as the groups are.
Shape = str | list["Shape"]


def leaves(shape: Shape) -> list[TaskId]:
    """List the tasks whose results a value is made of, in order."""
    if isinstance(shape, str):
        return [TaskId(shape)]
    return [leaf for part in shape for leaf in leaves(part)]


class Join(StoredModel):
    """Hands a value on, once all that it is made of are there, to each of the targets."""

    value: Any
    targets: tuple[TaskId, ...]


class Graph(StoredModel):
    """A workflow beyond its record: its steps in order, its joins, how many are in which state."""

    name: str | None = None
    steps: tuple[Step, ...]
    joins: tuple[Join, ...]
    counts: dict[str, int]

    @classmethod
    def parse(cls, fields: dict[str, str]) -> Graph:
        """Read a workflow's hash as `lua/accept.lua` writes it."""
        joins = [fields[f"join:{i}"] for i in range(len(fields)) if f"join:{i}" in fields]
        return cls(
            name=fields.get("name"),
            steps=json.loads(fields["steps"]),
            joins=tuple(Join.model_validate_json(join) for join in joins),
            counts={n: int(fields[n]) for n in ("total", *TaskState) if n in fields},
        )

    def sources(self, step: Step) -> list[TaskId]:
        """List the tasks that a step waits for."""
        return [] if step.after is None else leaves(self.joins[step.after].value)

    def output(self) -> list[TaskId]:
        """List the tasks that nothing waits for: their results are the workflow's."""
        feeding = {leaf for join in self.joins for leaf in leaves(join.value)}
        return [step.id for step in self.steps if step.id not in feeding]

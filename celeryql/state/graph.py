"""The stored graph of a workflow: its steps, and the joins that pass values between them."""

from __future__ import annotations

import json
from typing import Any

from celeryql.records import StoredModel, TaskId, TaskState


class Step(StoredModel):
    """One step of a workflow.

    Attributes:
        after: number of the join that it waits for; None for a first step.
        open_parameter: takes the value of the join; None if the step takes none.
    """

    key: str
    id: TaskId
    after: int | None = None
    open_parameter: str | None = None


#: The value of a join: the result of one task, or a list of values, nested as the groups are.
Shape = str | list["Shape"]


def leaves(shape: Shape) -> list[TaskId]:
    """Return the tasks whose results a value consists of, in order."""
    if isinstance(shape, str):
        return [TaskId(shape)]
    return [leaf for part in shape for leaf in leaves(part)]


class Join(StoredModel):
    """Passes a value to each target, as soon as all results that it consists of exist."""

    value: Any
    targets: tuple[TaskId, ...]


class Graph(StoredModel):
    """What a workflow has beyond its record: steps in order, joins, and counts by state."""

    name: str | None = None
    steps: tuple[Step, ...]
    joins: tuple[Join, ...]
    counts: dict[str, int]

    @classmethod
    def parse(cls, fields: dict[str, str]) -> Graph:
        """Parse a workflow's hash, which `lua/functions/accept.lua` writes."""
        joins = [fields[f"join:{i}"] for i in range(len(fields)) if f"join:{i}" in fields]
        return cls(
            name=fields.get("name"),
            steps=json.loads(fields["steps"]),
            joins=tuple(Join.model_validate_json(join) for join in joins),
            counts={n: int(fields[n]) for n in ("total", *TaskState) if n in fields},
        )

    def sources(self, step: Step) -> list[TaskId]:
        """Return the tasks that a step waits for."""
        return [] if step.after is None else leaves(self.joins[step.after].value)

    def output(self) -> list[TaskId]:
        """Return the tasks that no step waits for: their results are the result of the workflow."""
        feeding = {leaf for join in self.joins for leaf in leaves(join.value)}
        return [step.id for step in self.steps if step.id not in feeding]

"""The nodes of a canvas, and the workflow that is planned from it.

`planner.py` turns a canvas into steps and *joins*. A join is the point of a chain where one part
passes its value to the next: when the last of its sources has succeeded, its value goes to all its
targets. Each step feeds at most one join and waits for at most one, however deep the canvas is
nested, and a group of n before a group of m costs n + m instead of n times m.

The steps are Celery signatures with fixed ids. Steps that wait for nothing are sent together with
the records. The signature of any other step is stored, and the worker that completes its join sends
its message in the same call (`worker/next_steps.py`). Celery's own chain and chord messages carry
all later steps in each message, which multiplies: ten groups of 100 took 29 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

from celery.canvas import Signature

from celeryql.broker.priorities import CELERY_PRIORITIES
from celeryql.definition.options import EnqueueOptions
from celeryql.definition.task_definition import TaskDefinition
from celeryql.records import Priority, TaskId
from celeryql.state.graph import Join, Shape, leaves


@dataclass(frozen=True)
class StepNode:
    """One task of a canvas.

    Attributes:
        arguments: their JSON values, without the one that is piped.
        options: its options; a step has only tags, priority and attempts.
        path: where the arguments are in the input of the operation, for problems.
    """

    key: str | None
    definition: TaskDefinition
    arguments: dict[str, Any]
    path: tuple[str, ...]
    options: EnqueueOptions = field(default_factory=EnqueueOptions)

    @property
    def key_path(self) -> tuple[str, ...]:
        """Where its key is in the input of the operation: beside `task`, which contains `path`."""
        return (*self.path[:-2], "key")

    @property
    def missing_arguments(self) -> list[str]:
        """Parameters without a default that have no argument, in order."""
        return [name for name in self.definition.required_parameters if name not in self.arguments]


@dataclass(frozen=True)
class ChainNode:
    """Nodes that run one after the other; each receives the value of the one before."""

    nodes: tuple[Node, ...]
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupNode:
    """Nodes that run in parallel on the same value; its own value is the list of theirs."""

    nodes: tuple[Node, ...]
    path: tuple[str, ...] = ()


Node = StepNode | ChainNode | GroupNode  # a chord is a chain of a group and its body


def chord(header: GroupNode, body: Node) -> ChainNode:
    """Pass the list of a group's results to a body."""
    return ChainNode((header, body), header.path)


@dataclass(frozen=True)
class PlannedStep:
    """A checked step with its id.

    Attributes:
        open_parameter: takes the piped value; None if the step takes none.
        after: number of the join that it waits for; None for a first step.
    """

    node: StepNode
    key: str
    open_parameter: str | None
    after: int | None
    id: TaskId = field(default_factory=lambda: TaskId(str(uuid4())))

    @property
    def known_input(self) -> dict[str, Any]:
        """Its arguments as far as they are known before it starts, without the sensitive ones."""
        hidden = self.node.definition.sensitive
        return {name: value for name, value in self.node.arguments.items() if name not in hidden}

    def signature(self, root: TaskId, default: Priority) -> Signature:
        """Create its Celery signature, immutable if it takes no piped value."""
        return self.node.definition.task.signature(
            kwargs=self.node.arguments,
            immutable=self.open_parameter is None,
            task_id=self.id,
            root_id=root,
            priority=CELERY_PRIORITIES[self.node.options.priority or default],
        )


@dataclass(frozen=True)
class Workflow:
    """A checked canvas with all its ids; its steps are in the order of the canvas."""

    name: str | None
    steps: tuple[PlannedStep, ...]
    joins: tuple[Join, ...]
    id: TaskId = field(default_factory=lambda: TaskId(str(uuid4())))

    @cached_property
    def feeds(self) -> dict[TaskId, int]:
        """The number of the join that each step feeds."""
        return {leaf: i for i, join in enumerate(self.joins) for leaf in leaves(join.value)}

    def received_arguments(
        self, step: PlannedStep, results: Mapping[TaskId, Any]
    ) -> tuple[Any, ...] | None:
        """Return the positional arguments that a step receives; None if it has to wait for them."""
        if step.after is None:
            return ()
        value = self.joins[step.after].value
        return (fill_shape(value, results),) if all(i in results for i in leaves(value)) else None


def fill_shape(shape: Shape, results: Mapping[TaskId, Any]) -> Any:
    """Replace the task ids in a shape with their results."""
    if isinstance(shape, str):
        return results[TaskId(shape)]
    return [fill_shape(part, results) for part in shape]

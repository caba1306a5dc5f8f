"""Workflows: what a canvas says, and the steps and joins that it comes to.

A canvas is laid out once (`layout.py`), into steps and *joins*. A join is where a part of a chain
hands over to the next: when the last of its sources has succeeded, its value goes to all its
targets. So each step feeds one join at most and waits for one at most, however the canvas is
nested, and a group of n in front of a group of m costs n + m, not n times m.

The steps are Celery signatures, frozen here with their ids. Those that nothing holds back leave as
messages with the records; each of the others is kept until its join is complete, and the worker
that completes it sends its message in the same instant (`backend.py`). Celery's own chain and chord
messages carry all that follows in each message, which multiplies: ten groups of 100 came to 29 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

from celery.canvas import Signature

from celeryql.broker.captured_messages import CELERY_PRIORITIES
from celeryql.definition.options import EnqueueOptions
from celeryql.definition.task_definition import TaskDefinition
from celeryql.records import Priority, TaskId
from celeryql.state.graph import Join, Shape, leaves


@dataclass(frozen=True)
class StepNode:
    """One task of a canvas.

    Attributes:
        given: JSON values of the arguments, without the one that is piped.
        options: only tags, priority and attempts can be asked of a step.
        path: where the step's arguments stand in the operation's input, for problems.
    """

    key: str | None
    definition: TaskDefinition
    arguments: dict[str, Any]
    path: tuple[str, ...]
    options: EnqueueOptions = field(default_factory=EnqueueOptions)

    @property
    def key_path(self) -> tuple[str, ...]:
        """Where its key stands in the operation's input: beside `task`, which `path` leads into."""
        return (*self.path[:-2], "key")

    @property
    def missing_arguments(self) -> list[str]:
        """Arguments without a default that are not given, in order."""
        return [name for name in self.definition.required_parameters if name not in self.arguments]


@dataclass(frozen=True)
class ChainNode:
    """Nodes one after the other, each handed the value of the one before."""

    nodes: tuple[Node, ...]
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupNode:
    """Nodes side by side, each handed the same; their value is the list of their values."""

    nodes: tuple[Node, ...]
    path: tuple[str, ...] = ()


Node = StepNode | ChainNode | GroupNode  # a chord is a chain of a group and its body


def chord(header: GroupNode, body: Node) -> ChainNode:
    """Have a group hand the list of its results to a body."""
    return ChainNode((header, body), header.path)


@dataclass(frozen=True)
class PlannedStep:
    """A checked step with its id.

    Attributes:
        open_parameter: what is handed over goes here; None where nothing is taken.
        after: number of the join that it waits for; None for a first step.
    """

    node: StepNode
    key: str
    open_parameter: str | None
    after: int | None
    id: TaskId = field(default_factory=lambda: TaskId(str(uuid4())))

    @property
    def known_input(self) -> dict[str, Any]:
        """What is known of its arguments before it starts, for showing."""
        hidden = self.node.definition.sensitive
        return {name: value for name, value in self.node.arguments.items() if name not in hidden}

    def signature(self, root: TaskId, default: Priority) -> Signature:
        """Freeze its Celery signature; one that takes nothing from before is immutable."""
        return self.node.definition.task.signature(
            kwargs=self.node.arguments,
            immutable=self.open_parameter is None,
            task_id=self.id,
            root_id=root,
            priority=CELERY_PRIORITIES[self.node.options.priority or default],
        )


@dataclass(frozen=True)
class Workflow:
    """A canvas that passed every check, with all its ids; steps in the order of the canvas."""

    name: str | None
    steps: tuple[PlannedStep, ...]
    joins: tuple[Join, ...]
    id: TaskId = field(default_factory=lambda: TaskId(str(uuid4())))

    @cached_property
    def feeds(self) -> dict[TaskId, int]:
        """The number of the join that each step's result goes into."""
        return {leaf: i for i, join in enumerate(self.joins) for leaf in leaves(join.value)}

    def received_arguments(
        self, step: PlannedStep, results: Mapping[TaskId, Any]
    ) -> tuple[Any, ...] | None:
        """Give the arguments that a step is handed; None where it has to wait for them."""
        if step.after is None:
            return ()
        value = self.joins[step.after].value
        return (fill_shape(value, results),) if all(i in results for i in leaves(value)) else None


def fill_shape(shape: Shape, results: Mapping[TaskId, Any]) -> Any:
    """Put results in the places of the tasks that they are of."""
    if isinstance(shape, str):
        return results[TaskId(shape)]
    return [fill_shape(part, results) for part in shape]

"""Checks a canvas from end to end, and plans its steps and joins."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from celeryql.definition.arguments import LONE_SURROGATE_ERROR
from celeryql.definition.json_values import find_unreadable
from celeryql.definition.options import Name
from celeryql.definition.task_definition import TaskDefinition
from celeryql.definition.type_compatibility import forbidden_fields, is_assignable, type_name
from celeryql.errors import InvalidInput, Problem, WorkflowTypeMismatch, problems_of
from celeryql.records import TaskId
from celeryql.state.graph import Join, Shape
from celeryql.workflow.canvas import GroupNode, Node, PlannedStep, StepNode, Workflow

_NAME: TypeAdapter[str | None] = TypeAdapter(Name | None)


def plan(name: str | None, canvas: Node, *, max_steps: int) -> Workflow:
    """Check a canvas, give each step a key and an id, and plan its joins.

    Args:
        name: the name of the workflow; None without one.
        canvas: the node that contains all steps.
        max_steps: how many steps it may have.

    Raises:
        InvalidInput: it has no step or too many, two steps have the same key, or arguments are
            missing or wrong.
        WorkflowTypeMismatch: a value does not fit the argument that it is piped into.
    """
    planner = _Planner()
    planner.check_name(name, ("input", "name"))
    n = sum(1 for _ in _steps(canvas))
    if not 1 <= n <= max_steps:
        message = f"A workflow has 1 to {max_steps} steps, not {n}"
        raise InvalidInput([Problem(("input", "canvas"), message)])
    planner.add(canvas, (), None, None)
    planner.check_keys()
    if planner.problems:
        raise InvalidInput(planner.problems)
    if planner.mismatches:
        raise planner.mismatches[0]
    return Workflow(name, tuple(planner.steps), planner.joins())


def _steps(node: Node) -> Iterator[StepNode]:
    if isinstance(node, StepNode):
        yield node
    else:
        for child in node.nodes:
            yield from _steps(child)


@dataclass(frozen=True)
class _Output:
    """The value that a node passes on.

    Attributes:
        shape: the task ids whose results it consists of.
        type: its annotation.
        source: the tasks that it comes from, as errors name them.
    """

    shape: Shape
    type: Any
    source: str


class _Planner:
    """The steps and joins of a canvas as they are planned, and what is wrong with it."""

    def __init__(self) -> None:
        self.steps: list[PlannedStep] = []
        self.problems: list[Problem] = []
        self.mismatches: list[WorkflowTypeMismatch] = []
        self._shapes: list[Shape] = []  # by number of the join

    def joins(self) -> tuple[Join, ...]:
        """Return the joins by number."""
        targets: list[list[TaskId]] = [[] for _ in self._shapes]
        for step in self.steps:
            if step.after is not None:
                targets[step.after].append(step.id)
        pairs = zip(self._shapes, targets, strict=True)
        return tuple(Join(value=shape, targets=tuple(ids)) for shape, ids in pairs)

    def add(
        self, node: Node, position: tuple[int, ...], received: _Output | None, after: int | None
    ) -> _Output:
        """Plan a node.

        Args:
            node: a step, chain or group.
            position: its index in each node around it, outermost first.
            received: the value that is piped into it; None for a first node.
            after: number of the join that pipes the value.

        Returns:
            The value that it passes on.
        """
        if isinstance(node, StepNode):
            return self._add_step(node, position, received, after)
        if not node.nodes:
            self.problems.append(
                Problem(node.path, "A chain or group must have at least one member")
            )
        if isinstance(node, GroupNode):
            return self._add_group(node, position, received, after)
        output = _Output([], Any, "nothing")
        for i, child in enumerate(node.nodes):
            if i:
                self._shapes.append(output.shape)
                received, after = output, len(self._shapes) - 1
            output = self.add(child, (*position, i), received, after)
        return output

    def _add_group(
        self,
        group: GroupNode,
        position: tuple[int, ...],
        received: _Output | None,
        after: int | None,
    ) -> _Output:
        shapes: list[Shape] = []
        types: list[Any] = []
        sources: list[str] = []
        for i, child in enumerate(group.nodes):
            output = self.add(child, (*position, i), received, after)
            # As in Celery, a group that is a direct member of a group is merged into it.
            is_merged = isinstance(child, GroupNode)
            shapes += output.shape if is_merged else [output.shape]
            types += typing.get_args(output.type) if is_merged else [output.type]
            sources.append(output.source)
        item = typing.Union[tuple(types)] if types else Any  # noqa: UP007  # made at run time
        return _Output(shapes, list[item], ", ".join(dict.fromkeys(sources)))  # type: ignore[valid-type]  # made at run time

    def _add_step(
        self, node: StepNode, position: tuple[int, ...], received: _Output | None, after: int | None
    ) -> _Output:
        key = (".".join(map(str, position)) or "0") if node.key is None else node.key
        self.check_name(key, node.key_path)
        parameter = self._open_parameter(node, key, is_piped=received is not None)
        self._check_arguments(node, key)
        if parameter and received:
            self._check_pipe(key, node.definition, parameter, received)
        step = PlannedStep(node, key, parameter, after)
        self.steps.append(step)
        return _Output(step.id, node.definition.output_type, repr(node.definition.name))

    def check_name(self, name: str | None, path: tuple[str, ...]) -> None:
        """Collect the problems of a name that the client chose."""
        try:
            _NAME.validate_python(name)
        except ValidationError as error:
            self.problems += problems_of(error, path)

    def check_keys(self) -> None:
        """Collect each key that is given to a second step."""
        positions = {step.key for step in self.steps if step.node.key is None}
        seen: set[str] = set()
        for step in self.steps:
            if step.node.key is None:
                continue
            if step.key in positions or step.key in seen:
                message = f"Two steps have the key {step.key!r}"
                is_position = step.key in positions
                hint = ": a step without a key is named by its position" if is_position else ""
                self.problems.append(Problem(step.node.key_path, message + hint))
            seen.add(step.key)

    def _open_parameter(self, node: StepNode, key: str, *, is_piped: bool) -> str | None:
        if len(node.missing_arguments) == 1 and is_piped:
            return node.missing_arguments[0]
        why = "only one can be piped" if is_piped else "nothing is piped into a first step"
        message = f"Step {key!r}: argument missing ({why})"
        self.problems += [Problem((*node.path, name), message) for name in node.missing_arguments]
        return None

    def _check_arguments(self, node: StepNode, key: str) -> None:
        try:
            json.dumps(node.arguments, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            message = f"Step {key!r}: {LONE_SURROGATE_ERROR.message()}"
            self.problems.append(Problem(node.path, message))
            return
        if node.missing_arguments and (found := find_unreadable(node.arguments)):
            path = (*node.path, *map(str, found.path))
            self.problems.append(Problem(path, f"Step {key!r}: Value is {found.reason}"))
        try:
            node.definition.parse(node.arguments)
        except ValidationError as error:
            missing = {(*node.path, name) for name in node.missing_arguments}
            for problem in problems_of(error, node.path):
                if problem.path not in missing:  # `_open_parameter` has checked those
                    self.problems.append(Problem(problem.path, f"Step {key!r}: {problem.message}"))

    def _check_pipe(
        self, key: str, definition: TaskDefinition, parameter: str, received: _Output
    ) -> None:
        wanted = definition.type_hints[parameter]
        if not is_assignable(received.type, wanted):
            expected = f"{type_name(wanted)} as {parameter!r}"
            actual = f"{type_name(received.type)} from {received.source}"
            if names := forbidden_fields(received.type, wanted):
                actual += f", with fields that it forbids ({', '.join(sorted(names))})"
            self.mismatches.append(WorkflowTypeMismatch(key, expected, actual))
